#!/usr/bin/env bash
# Runs every fuzz target, or those named, for FUZZ_SECONDS each (default 30). What is found new
# goes to fuzz/target/corpus; a crash is kept in fuzz/artifacts and ends the run with an error.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -e fuzz/Cargo.toml ]; then
    echo "fuzz: no targets yet (no fuzz/Cargo.toml)"
    exit
fi
tools/cargo-tool.sh fuzz
export RUSTC_BOOTSTRAP=1 # sanitizers are behind -Z; this spares a nightly toolchain
unset CARGO_TARGET_DIR   # cargo-fuzz looks for what it built in fuzz/target

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
for target in "${targets[@]}"; do
    echo "fuzz: $target"
    mkdir -p "fuzz/target/corpus/$target" "fuzz/corpus/$target"
    cargo fuzz run "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-30}" -timeout=10 -rss_limit_mb=2048 \
        -verbosity=0 -print_final_stats=1
done
