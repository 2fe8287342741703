#!/usr/bin/env bash
# Starts demo/two-nodes in the foreground: the routing table, two nodes, the front. Ctrl-C ends them all.
#
#   demo/two-nodes/run.sh
#
# PREFIX is where it works (target/two-nodes), NGINX_BINARY and MODULE what it runs (those of `make build`), PORTS those of front,
# web-1, web-2 and the routing table ("8100 8101 8102 8110"), EVERY the seconds between two looks of the table at the nodes' lists.
set -eu

cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-$(cd ../.. && pwd)/target}
nginx=${NGINX_BINARY:-$target/release/nginx-objs/nginx}
module=${MODULE:-$target/release/libngx_http_icomet_module.so}
prefix=${PREFIX:-$target/two-nodes}
read -r front web1 web2 table <<<"${PORTS:-8100 8101 8102 8110}"

die() { printf 'two-nodes: %s\n' "$*" >&2; exit 1; }

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

for port in "$front" "$web1" "$web2" "$table"; do
    ! listens "$port" || die "port $port is taken by another program: name four others in PORTS"
done

mkdir -p "$prefix/conf" "$prefix/logs" "$prefix/modules"
for name in front web-1 web-2; do
    sed -e 's/:8100\b/:FRONT/g; s/:8101\b/:WEB1/g; s/:8102\b/:WEB2/g; s/:8110\b/:TABLE/g' \
        -e "s/:FRONT/:$front/g; s/:WEB1/:$web1/g; s/:WEB2/:$web2/g; s/:TABLE/:$table/g" "$name.conf" >"$prefix/conf/$name.conf"
done
# A new file each time: overwriting one that a running nginx has mapped would crash it.
rm -f "$prefix/modules/ngx_http_icomet_module.so"
cp "$module" "$prefix/modules/ngx_http_icomet_module.so"
# What both nodes sign with, readable by their owner alone.
[ -s "$prefix/hook.secret" ] || (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$prefix/hook.secret")

directives="daemon off;"
# As root, nginx would drop to a user that may not read this folder.
[ "$(id -u)" -ne 0 ] || directives="$directives user root;"

pids=()
stopping=""
# shellcheck disable=SC2317 # called by traps
stop() {
    stopping=yes
    for pid in "${pids[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
    done
}
trap stop INT TERM HUP
trap 'stop; wait' EXIT

# Starts a program, and waits until it listens at its port.
start() {
    local name=$1 port=$2 pid
    shift 2
    "$@" &
    pid=$!
    pids+=("$pid")
    echo "$pid" >"$prefix/logs/$name.run.pid"
    until [ -n "$stopping" ] || listens "$port"; do
        kill -0 "$pid" 2>/dev/null || die "$name did not start; see above, and $prefix/logs"
        sleep 0.05
    done
}

start web-1 "$web1" "$nginx" -p "$prefix" -e stderr -c conf/web-1.conf -g "$directives"
start web-2 "$web2" "$nginx" -p "$prefix" -e stderr -c conf/web-2.conf -g "$directives"
start routes "$table" python3 routes.py --secret "$prefix/hook.secret" --listen "127.0.0.1:$table" --database "$prefix/routes.db" \
    --node "web-1=http://127.0.0.1:$web1/icomet-admin" --node "web-2=http://127.0.0.1:$web2/icomet-admin" --every "${EVERY:-30}"
start front "$front" "$nginx" -p "$prefix" -e stderr -c conf/front.conf -g "$directives"

[ -n "$stopping" ] || cat <<TEXT

  Two nodes behind one front. From another shell:
    TOKEN=\$(curl -s 'http://127.0.0.1:$front/icomet-admin/sign?cname=anna' | sed 's/.*"token":"\([^"]*\).*/\1/')
    curl -N "http://127.0.0.1:$front/icomet/stream?cname=anna&token=\$TOKEN"
  From a third one:
    curl -d 'content=Hello' 'http://127.0.0.1:$front/icomet-admin/push?cname=anna'
    curl 'http://127.0.0.1:$table/route?channel=anna'

  Configuration and logs: $prefix.  Ctrl-C ends it.

TEXT

# A node that ends is not missed here: it may be started again. A signal to this script ends wait early.
while [ -z "$stopping" ]; do
    kill -0 "${pids[3]}" 2>/dev/null || die "the front has ended"
    wait "${pids[3]}" || true
done
exit 0
