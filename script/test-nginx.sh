#!/usr/bin/env bash
# Runs the Test::Nginx suites.
#
#   script/test-nginx.sh plain|hup|valgrind [SUITE.t ...]    default: all of t/
#
# plain     nginx is started for each test block
# hup       one nginx for each suite, reloaded between its blocks
# valgrind  plain, under memcheck: an invalid access or a leak that t/valgrind.suppress does not name fails the run;
#           suites of mistakes are left to the sanitizers, which look for the same in them
#
# TEST_NGINX_BINARY and TEST_NGINX_LOAD_MODULES name another nginx and module than the vendored ones.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
mode=${1:-plain}
[ $# -eq 0 ] || shift
suites=("$@")
if [ $# -eq 0 ]; then
    for suite in t/*.t; do
        # Each of their many processes reads a configuration, and ends.
        [[ $mode = valgrind && $suite = *mistakes.t ]] || suites+=("$suite")
    done
fi

export TEST_NGINX_BINARY=${TEST_NGINX_BINARY:-$target/release/nginx-objs/nginx}
export TEST_NGINX_LOAD_MODULES=${TEST_NGINX_LOAD_MODULES:-$target/release/libngx_http_icomet_module.so}
# A port and a folder of its own for each suite, so that two can run beside each other.
export TEST_NGINX_RANDOMIZE=1

case $mode in
    plain)
        exec prove -j4 "${suites[@]}"
        ;;
    hup)
        TEST_NGINX_USE_HUP=1 exec prove -j4 "${suites[@]}"
        ;;
    valgrind) ;;
    *)
        echo "usage: script/test-nginx.sh plain|hup|valgrind [SUITE.t ...]" >&2
        exit 1
        ;;
esac

logs=$target/valgrind
rm -rf "$logs"
mkdir -p "$logs"
# Test::Nginx runs valgrind -q; -v takes that back, so that each process ends its log with a summary.
export TEST_NGINX_USE_VALGRIND="-v --log-file=$logs/%p.log --leak-check=full --show-leak-kinds=definite,indirect \
--errors-for-leak-kinds=definite,indirect --keep-debuginfo=yes --num-callers=40 --gen-suppressions=all --suppressions=$PWD/t/valgrind.suppress"
# How long Test::Nginx waits between its looks at a starting or ending nginx: memcheck makes both slow.
export TEST_NGINX_SLEEP=0.5

status=0
# With its pauses each suite uses half a processor.
prove -j4 "${suites[@]}" || status=$?

processes=$(find "$logs" -name '*.log' | wc -l)
# What memcheck reports stands in its log with the process' number in front, followed by a ready suppression.
mapfile -t bad < <(grep -lE 'ERROR SUMMARY: [1-9]' "$logs"/*.log)
mapfile -t cut < <(grep -LE 'ERROR SUMMARY:' "$logs"/*.log)
for log in "${bad[@]:0:5}"; do
    printf '\n--- %s\n' "$log"
    grep -vE '^--|Reading syms|Considering' "$log" | tail -n 80
done
echo "valgrind: $processes processes, ${#bad[@]} with errors or leaks, ${#cut[@]} ended without a summary; logs: $logs"
[ "$processes" -gt 0 ] || status=1
# A process that Test::Nginx had to kill on a busy machine was not checked for leaks: a few may be.
[ $((${#cut[@]} * 20)) -le "$processes" ] || status=1
[ ${#bad[@]} -eq 0 ] || status=1
exit "$status"
