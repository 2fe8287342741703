#!/usr/bin/env bash
# Starts nginx with the module and demo/nginx.conf in the foreground; Ctrl-C ends it.
#
# It listens at PORT (8080) of this machine's 127.0.0.1. LISTEN names more of its addresses, with blanks between them: LISTEN='192.0.2.7 ::1',
# or '*' for all of IPv4. RUN_PREFIX is where it works (target/run).
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
port=${PORT:-8080}
prefix=${RUN_PREFIX:-$target/run}

die() { printf 'run: %s\n' "$*" >&2; exit 1; }

case $port in
    '' | *[!0-9]*) die "PORT=$port is not a port number: make run PORT=8081" ;;
esac
if [ "${#port}" -gt 5 ] || [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then
    die "PORT=$port is not between 1 and 65535"
fi

listen="listen 127.0.0.1:$port;"
at=""
read -ra addresses <<<"${LISTEN:-}"
for address in "${addresses[@]}"; do
    case $address in
        127.0.0.1) continue ;;
        '*')
            listen="$listen listen *:$port;"
            address="every address of IPv4"
            ;;
        *[!0-9a-fA-F.:]*) die "LISTEN=$address is not an address: LISTEN='192.0.2.7 ::1', or LISTEN='*' for all of IPv4" ;;
        *:*) listen="$listen listen [$address]:$port;" ;;
        [0-9]*.*.*.*[0-9]) listen="$listen listen $address:$port;" ;;
        *) die "LISTEN=$address is not an address: LISTEN='192.0.2.7 ::1', or LISTEN='*' for all of IPv4" ;;
    esac
    at="$at${at:+,} $address"
done

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

if listens; then
    die "port $port is taken by another program. Choose another: make run PORT=$((port < 65535 ? port + 1 : 8080))"
fi

mkdir -p "$prefix/conf" "$prefix/logs" "$prefix/modules" "$prefix/html"
sed "s/^\( *\)listen  *127\.0\.0\.1:8080;/\1$listen/" demo/nginx.conf >"$prefix/conf/nginx.conf"
cp demo/*.html demo/*.css demo/*.js "$prefix/html/"
# A new file each time: overwriting one that a running nginx has mapped would crash it.
rm -f "$prefix/modules/ngx_http_icomet_module.so"
cp "$target/release/libngx_http_icomet_module.so" "$prefix/modules/ngx_http_icomet_module.so"

directives="daemon off;"
# As root, nginx would drop to a user that may not read this folder.
[ "$(id -u)" -ne 0 ] || directives="$directives user root;"

"$target/release/nginx-objs/nginx" -p "$prefix" -e stderr -c conf/nginx.conf -g "$directives" &
nginx=$!
# Ctrl-C reaches nginx too, as it is in the same process group; a signal to this script alone is handed on.
stopping=""
trap 'stopping=yes; kill -TERM "$nginx" 2>/dev/null || true' INT TERM HUP

until listens; do
    if [ -n "$stopping" ]; then break; fi
    kill -0 "$nginx" 2>/dev/null || die "nginx did not start; its messages are above"
    sleep 0.1
done

# Reloads nginx whenever the chat's button has published to the channel demo.reload. The connection itself outlives the reload.
reload_on_demand() {
    local line
    while kill -0 "$nginx" 2>/dev/null; do
        if exec 3<>"/dev/tcp/127.0.0.1/$port"; then
            printf 'GET /icomet/stream?cname=demo.reload&seq=0 HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
            while IFS= read -r line <&3; do
                case $line in
                    *'"type":"data"'*) kill -HUP "$nginx" ;;
                esac
            done
            exec 3>&-
        fi
        sleep 1
    done
} 2>/dev/null

if [ -z "$stopping" ]; then
    reload_on_demand &
    where="Only this machine reaches it; for others too: make run LISTEN='*'"
    [ -z "$at" ] || where="It listens at$at too; the admin side answers this machine alone."
    cat <<TEXT

  icomet runs: open  http://localhost:$port/  in two tabs and chat, and reload nginx meanwhile by the page's button.

  From a shell:
    curl -d 'content=Hello from curl' 'http://localhost:$port/icomet-admin/push?cname=room.lobby'
    curl -N 'http://localhost:$port/icomet/stream?cname=room.lobby'
    curl 'http://localhost:$port/icomet-admin/info'

  $where
  Configuration: demo/nginx.conf.  Requests: $prefix/logs/access.log.  Ctrl-C ends it.

TEXT
fi

# A trapped signal ends wait early: ask again until nginx is gone.
status=0
while kill -0 "$nginx" 2>/dev/null; do
    status=0
    wait "$nginx" || status=$?
done
[ -z "$stopping" ] || exit 0
exit "$status"
