#!/usr/bin/env bash
# Runs every test. With nextest if it is there: a test that hangs is then ended and named.
set -euo pipefail
cd "$(dirname "$0")/.."
# With PAM where it can be built: then its tests run too.
features=()
if [ -e /usr/include/security/pam_appl.h ]; then features=(--features pam); fi
cargo build --workspace --all-targets "${features[@]}"
if cargo nextest --version >/dev/null 2>&1; then
    cargo test --workspace --doc --quiet "${features[@]}" # nextest runs no doc tests
    cargo nextest run --workspace --no-fail-fast "${features[@]}" "$@"
else
    cargo test --workspace --no-fail-fast "${features[@]}" "$@"
fi
