#!/usr/bin/env bash
# Builds clients/js, in clients/js/dist, with what npm installs beside it.
set -eu

cd "$(dirname "$0")/../clients/js"
if ! cmp -s package-lock.json node_modules/installed.json; then
    npm ci --no-audit --no-fund --loglevel=error >/dev/null
    cp package-lock.json node_modules/installed.json
fi
node build.mjs
