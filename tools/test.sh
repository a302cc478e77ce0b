#!/usr/bin/env bash
# Runs every test. With nextest if it is there: a test that hangs is then ended and named.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --workspace --all-targets
if cargo nextest --version >/dev/null 2>&1; then
    cargo test --workspace --doc --quiet # nextest runs no doc tests
    cargo nextest run --workspace --no-fail-fast "$@"
else
    cargo test --workspace --no-fail-fast "$@"
fi
