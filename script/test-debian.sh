#!/usr/bin/env bash
# Builds the module for Debian's own nginx and runs the smoke suite on the distribution's binary.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}

# Debian 12 has no package of it; it is not needed to build.
perl -MTest::Nginx::Socket -e 1 2>/dev/null || {
    echo "test-debian: the smoke suite needs Test::Nginx, which is missing here: script/setup.sh debian installs it" >&2
    exit 1
}
script/build-debian.sh
TEST_NGINX_BINARY=/usr/sbin/nginx \
    TEST_NGINX_LOAD_MODULES=$target/debian/release/libngx_http_icomet_module.so \
    script/test-nginx.sh plain t/smoke.t
