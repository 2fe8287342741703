#!/usr/bin/env bash
# Runs the tests with a browser, in t/browser: a headless Chromium, steered by playwright-core. Without a Chromium they are skipped.
#
#   script/test-browser.sh [FILE ...]    default: all. ICOMET_TEST=TEXT: only tests whose name has it
#
# TEST_NGINX_BINARY and TEST_NGINX_LOAD_MODULES name another nginx and module than the vendored ones, CHROMIUM another browser.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
export ICOMET_NGINX=${TEST_NGINX_BINARY:-$target/release/nginx-objs/nginx}
export ICOMET_MODULE=${TEST_NGINX_LOAD_MODULES:-$target/release/libngx_http_icomet_module.so}
export NODE_PATH=$target/npm/node_modules
[ -d "$NODE_PATH/playwright-core" ] || { echo "test-browser: $NODE_PATH/playwright-core is not there: run script/setup.sh test" >&2; exit 1; }
script/build-js.sh
if [ $# -eq 0 ]; then set -- t/browser/*.t.js; fi
exec prove --exec node "$@"
