#!/usr/bin/env bash
# Builds the module of the chaos harness, which kills its worker inside a critical section on demand, for the nginx of
# `make build`: target/fault/fault/libngx_http_icomet_module.so. Never load it into a server that serves anybody.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
objs=$(readlink -f "$target/release/nginx-objs")
# What nginx-src notes: "SOURCE FOLDER"|configure flags
source=$(sed -n '1s/^"\([^"]*\)".*/\1/p' "$objs/last-build-info")
[ -e "$source/src/core/nginx.h" ] || { echo "build-fault: run make build first ($objs names no source)" >&2; exit 1; }

NGINX_SOURCE_DIR=$source NGINX_BUILD_DIR=$objs CARGO_TARGET_DIR=$target/fault \
    cargo build --profile fault --locked --no-default-features --features fault-injection
