#!/usr/bin/env bash
# Builds the module for Debian's own nginx and runs the smoke suite on the distribution's binary.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}

script/build-debian.sh
TEST_NGINX_BINARY=/usr/sbin/nginx \
    TEST_NGINX_LOAD_MODULES=$target/debian/release/libngx_http_icomet_module.so \
    script/test-nginx.sh plain t/smoke.t
