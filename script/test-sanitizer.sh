#!/usr/bin/env bash
# Runs the Test::Nginx suites with nginx, the C shim and the module's Rust under AddressSanitizer, the C also under
# UndefinedBehaviorSanitizer; any report of theirs fails the run.
#
#   script/test-sanitizer.sh [SUITE.t ...]    default: all of t/
#
# It is for what valgrind cannot see: buffers on the stack and in globals, use past the end of a piece of one of nginx's
# pools (each piece is an allocation of its own here), undefined arithmetic; and the debug assertions of the Rust code.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}/sanitizer
logs=$target/logs
triple=$(rustc -vV | sed -n 's/^host: //p')
release=$target/$triple/release
nginx=$release/nginx-objs/nginx
module=$release/libngx_http_icomet_module.so

# One runtime for all: gcc's, which stands in the nginx executable and is exported by it (nginx links with -Wl,-E).
# rustc links none into a cdylib. Static, because the two shared libraries keep a log file each, and one gets lost.
sanitize="-fsanitize=address,undefined -fno-omit-frame-pointer -g"
export CC=gcc
# nginx itself copies no bytes from a null pointer here and there, and reads and writes words at any address where the
# processor allows it; our C does neither.
export NGX_CFLAGS="$sanitize -fno-sanitize=nonnull-attribute,alignment -DNGX_DEBUG_PALLOC=1"
export NGX_LDFLAGS="-fsanitize=address,undefined -static-libasan -static-libubsan"
export ICOMET_SHIM_CFLAGS=$sanitize
# In a target folder of its own, as all of these flags are part of what is built; --target keeps them from build scripts.
CARGO_TARGET_DIR=$target RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes" \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true \
    cargo build --release --locked --target "$triple"

for file in "$nginx" "$module"; do
    [ "$(nm -D "$file" | grep -c __asan_)" -gt 0 ] || { echo "test-sanitizer: $file is not instrumented" >&2; exit 1; }
done

rm -rf "$logs"
mkdir -p "$logs"
# Commas, because Test::Nginx puts a suite's name into log_path and knows no other separator.
export ASAN_OPTIONS="detect_stack_use_after_return=1,detect_leaks=1,log_path=$logs/report"
export UBSAN_OPTIONS="print_stacktrace=1,log_path=$logs/report"
export LSAN_OPTIONS="suppressions=$PWD/t/sanitizer.suppress,print_suppressions=0,exitcode=0"
export TEST_NGINX_BINARY=$nginx TEST_NGINX_LOAD_MODULES=$module

status=0
script/test-nginx.sh plain "$@" || status=$?

# An nginx that refuses its configuration leaves the first pool of main() behind. No suppression of LeakSanitizer fits
# that stack alone, so a report in which nothing else stands is taken out here.
# shellcheck disable=SC2016 # Perl's variables
find "$logs" -type f -exec perl -0777 -ne '
    my @leaks = grep { / leak of / } split /\n\n/;
    my @others = grep { !/ in ngx_create_pool .*\n.* in main / } @leaks;
    unlink $ARGV if @leaks && !@others && !/runtime error/ && !/ERROR: (?!LeakSanitizer)/;
' {} +
mapfile -t reports < <(find "$logs" -type f | sort)
for report in "${reports[@]:0:5}"; do
    printf '\n--- %s\n' "$report"
    head -n 60 "$report"
done
echo "sanitizer: ${#reports[@]} processes with a report; logs: $logs"
[ ${#reports[@]} -eq 0 ] || status=1
exit "$status"
