#!/usr/bin/env bash
# Builds the fuzz targets in fuzz/ and runs them.
#
#   script/fuzz.sh run [TARGET ...]       each for FUZZ_SECONDS (default 120); what is found goes to target/fuzz
#   script/fuzz.sh test [TARGET ...]      the corpus in the tree, then FUZZ_RUNS (default 20000) runs, for ten seconds at most
#   script/fuzz.sh minimize [TARGET ...]  adds to the corpus in the tree what reaches further code of all that target/fuzz has found
#   script/fuzz.sh list                   the targets
#
# libFuzzer by the crate libfuzzer-sys, with cargo-fuzz's layout and flags, but without its binary: there is nothing
# to install, and a stable toolchain is enough (it is told by RUSTC_BOOTSTRAP that it may instrument).
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
mode=${1:-run}
[ $# -eq 0 ] || shift
targets=("$@")
if [ $# -eq 0 ]; then
    for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
triple=$(rustc -vV | sed -n 's/^host: //p')

build() {
    local flags=(
        --cfg fuzzing
        -Zsanitizer=address
        -Cpasses=sancov-module
        -Cllvm-args=-sanitizer-coverage-level=4
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
        -Cllvm-args=-sanitizer-coverage-pc-table
        -Cllvm-args=-sanitizer-coverage-trace-compares
        -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    )
    # --target keeps the flags from build scripts. libFuzzer is C++: clang is there for bindgen anyway.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" CXX=${CXX:-clang++} CARGO_TARGET_DIR=$target \
        cargo build --release --locked --manifest-path fuzz/Cargo.toml --target "$triple" --bins
}

# An input that takes ten seconds, or two gigabytes, is a finding too.
fuzz() {
    local name=$1
    shift
    mkdir -p "$target/artifacts/$name"
    "$target/$triple/release/$name" -artifact_prefix="$target/artifacts/$name/" \
        -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 "$@"
}

failed=()
run() {
    local name=$1 log=$target/log/$mode-$1
    mkdir -p "$target/log"
    if fuzz "$@" >"$log" 2>&1; then
        sed -n "s/^Done \(.*\)/fuzz $name: \1, no finding/p" "$log"
    else
        # The panic or the report, and how to see it again.
        grep -vE '^(#|NEW_FUNC|INFO)' "$log" | head -n 60
        echo "fuzz $name: FINDING, its input is in $target/artifacts/$name; $log has more"
        failed+=("$name")
    fi
}

case $mode in
    list)
        printf '%s\n' "${targets[@]}"
        exit
        ;;
    run)
        build
        for name in "${targets[@]}"; do
            mkdir -p "$target/corpus/$name"
            run "$name" -max_total_time="${FUZZ_SECONDS:-120}" "$target/corpus/$name" "fuzz/corpus/$name"
        done
        ;;
    test)
        build
        for name in "${targets[@]}"; do
            rm -rf "$target/test/$name"
            mkdir -p "$target/test/$name"
            run "$name" -seed=1 -runs="${FUZZ_RUNS:-20000}" -max_total_time=10 "$target/test/$name" "fuzz/corpus/$name"
        done
        ;;
    minimize)
        build
        for name in "${targets[@]}"; do
            mkdir -p "$target/corpus/$name"
            run "$name" -merge=1 -use_counters=0 "fuzz/corpus/$name" "$target/corpus/$name"
            echo "fuzz $name: $(find "fuzz/corpus/$name" -type f | wc -l) inputs in fuzz/corpus/$name"
        done
        ;;
    *)
        sed -n '2,7s/^# *//p' "$0" >&2
        exit 1
        ;;
esac
[ ${#failed[@]} -eq 0 ]
