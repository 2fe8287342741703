#!/usr/bin/env bash
# Checks docs/openapi.yaml against a running server with schemathesis, which makes requests of its own from the
# description: good and bad ones. The seed is fixed, so that a run is the same as the one before.
#
#   script/test-api.sh [OPTION ...]      options of `schemathesis run`, e.g. --max-examples 1000 --seed 7
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
nginx=${TEST_NGINX_BINARY:-$target/release/nginx-objs/nginx}
module=${TEST_NGINX_LOAD_MODULES:-$target/release/libngx_http_icomet_module.so}
schemathesis=$target/venv/bin/schemathesis
[ -x "$schemathesis" ] || { echo "test-api: $schemathesis is not there: run script/setup.sh test" >&2; exit 1; }

prefix=$(mktemp -d)
# Started by root, nginx writes large bodies as another user.
chmod 755 "$prefix"
mkdir "$prefix/logs"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$prefix/nginx.conf" <<CONF
load_module $module;
daemon off;
worker_processes 2;
error_log logs/error.log info;
pid nginx.pid;
events { worker_connections 256; }
http {
    access_log logs/access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    icomet_hub main { zone 64m; }
    server {
        listen 127.0.0.1:$port;
        location /icomet-admin/ { icomet_pub main; }
    }
}
CONF
"$nginx" -p "$prefix" -c nginx.conf 2>"$prefix/logs/start.log" &
pid=$!
trap 'kill -QUIT "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; rm -rf "$prefix"' EXIT
url=http://127.0.0.1:$port/icomet-admin
tries=0
until curl -sf -o /dev/null "$url/api/channels"; do
    kill -0 "$pid" 2>/dev/null || { cat "$prefix/logs/start.log" >&2; exit 1; }
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || { echo "test-api: nginx does not answer" >&2; exit 1; }
    sleep 0.05
done
# A channel with messages, so that the good requests of history find one.
curl -sf -o /dev/null -H 'Content-Type: application/json' -d '{"channels":["room.7","0"],"content":"hello"}' "$url/api/publish"

status=0
root=$PWD
(cd "$prefix" && timeout 300 "$schemathesis" --config-file "$root/script/schemathesis.toml" run "$root/docs/openapi.yaml" \
    --url "$url" --checks all --phases examples,coverage,fuzzing --seed 1 --max-examples 200 --generation-database none \
    --no-color "$@") || status=$?
if grep -E '\[(alert|crit|emerg|error)\]' "$prefix/logs/error.log"; then
    echo 'test-api: the lines above are in the error log' >&2
    status=1
fi
exit "$status"
