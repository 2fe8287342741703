#!/usr/bin/env bash
# Builds the JavaScript client and runs its tests, some of them against the vendored nginx with the module. A browser's are in test-browser.sh.
#
#   script/test-js.sh [FILTER]    only the files whose name has it
#
# TEST_NGINX_BINARY and TEST_NGINX_LOAD_MODULES name another nginx and module than the vendored ones.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
export TEST_NGINX_BINARY=${TEST_NGINX_BINARY:-$target/release/nginx-objs/nginx}
export TEST_NGINX_LOAD_MODULES=${TEST_NGINX_LOAD_MODULES:-$target/release/libngx_http_icomet_module.so}
script/build-js.sh
cd clients/js
npx tsc -p tsconfig.json --noEmit
npx tsc -p tsconfig.test.json
npx vitest run "$@"
cd ../..
for built in icomet.min.js icomet-legacy.js; do
    cmp "clients/js/dist/$built" "demo/$built" || { echo "test-js: demo/ has another $built: make demo-js" >&2; exit 1; }
done
