#!/usr/bin/env bash
# Builds the module by nginx's addon script, as README says and with nothing more, in a copy of the vendored source; and runs the
# smoke suite with it, and all transports over TLS, HTTP/2 and HTTP/3 in an nginx of that version that has all three.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
nginx=$target/release/nginx-objs/nginx
copy=$target/addon/nginx

manifest=$(cargo metadata --format-version 1 --locked |
    grep -o '"manifest_path":"[^"]*/nginx-src-[^"]*"' | head -n 1 | cut -d '"' -f 4)
[ -n "$manifest" ] || { echo "test-addon: cargo metadata names no nginx-src" >&2; exit 1; }

mkdir -p "$copy"
cp -r "$(dirname "$manifest")/nginx/." "$copy"
root=$PWD
(
    cd "$copy"
    # A release has it as ./configure.
    auto/configure --with-compat --add-dynamic-module="$root" >configure.log 2>&1 || { tail -n 20 configure.log; exit 1; }
    make modules
    if auto/configure --builddir=static --add-module="$root" >static.log 2>&1; then
        echo "test-addon: --add-module must be refused" >&2
        exit 1
    fi
    grep -q 'Use --add-dynamic-module' static.log
    auto/configure --builddir=full --with-compat --with-http_ssl_module --with-http_v2_module --with-http_v3_module \
        --with-http_stub_status_module >full.log 2>&1 || { tail -n 20 full.log; exit 1; }
    make -s -j2 >make.log 2>&1 || { tail -n 20 make.log; exit 1; }
)

module=$copy/objs/ngx_http_icomet_module.so
mkdir -p "$target/addon/prefix/logs"
printf 'load_module %s;\nevents {}\nhttp { server { listen 127.0.0.1:1984; location /icomet/ { icomet_sub; } } }\n' "$module" \
    >"$target/addon/prefix/nginx.conf"
"$nginx" -p "$target/addon/prefix" -e stderr -c nginx.conf -t
TEST_NGINX_LOAD_MODULES=$module TEST_NGINX_BINARY=$nginx script/test-nginx.sh plain t/smoke.t

# HTTP/3 needs aioquic, which script/setup.sh test puts there.
python=$target/venv/bin/python
[ -x "$python" ] || python=python3
"$python" script/test-wire.py "$copy/full/nginx" "$module"
