#!/usr/bin/env bash
# Installs a cargo subcommand unless it is there: cargo-tool.sh deny
set -euo pipefail
cargo "$1" --version >/dev/null 2>&1 && exit
echo "installing cargo-$1"
# They run for seconds: built fast counts for more than running fast.
cargo install --locked --quiet --debug "cargo-$1"
