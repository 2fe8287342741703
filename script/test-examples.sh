#!/usr/bin/env bash
# Runs each of examples/ against the vendored nginx with the module.
#
#   script/test-examples.sh [OPTION...]    options of python3 -m unittest discover: -k TestNode
#
# TEST_NGINX_BINARY and TEST_NGINX_LOAD_MODULES name another nginx and module than the vendored ones.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
export TEST_NGINX_BINARY=${TEST_NGINX_BINARY:-$target/release/nginx-objs/nginx}
export TEST_NGINX_LOAD_MODULES=${TEST_NGINX_LOAD_MODULES:-$target/release/libngx_http_icomet_module.so}

# What the README says of versions, as far as a newer one can tell.
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
javac -encoding UTF-8 --release 11 -Xlint:all -Werror -d "$classes" examples/java/*.java

python3 -B -m unittest discover --start-directory examples/tests --verbose "$@"
