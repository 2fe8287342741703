#!/usr/bin/env bash
# Builds the module for Debian's own nginx (packages nginx and nginx-dev):
# target/debian/release/libngx_http_icomet_module.so
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}/debian
headers=/usr/share/nginx/src
source=$target/nginx

[ -x "$headers/configure" ] || { echo "build-debian: install the packages nginx and nginx-dev first" >&2; exit 1; }

# A module loads only into the version that it was built for.
version=$(sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' "$headers/src/core/nginx.h")
installed=$(/usr/sbin/nginx -v 2>&1 | sed 's|.*nginx/||; s| .*||')
if [ "$version" != "$installed" ]; then
    echo "build-debian: /usr/sbin/nginx is $installed, and nginx-dev is for $version" >&2
    exit 1
fi

# The package's folder is not writable, and configure writes beside its sources.
stamp=$(dpkg-query -W -f '${Version}' nginx-dev 2>/dev/null || echo "$version")
if [ "$(cat "$target/stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$source"
    mkdir -p "$source"
    cp -r "$headers/." "$source"
    (
        cd "$source"
        # shellcheck source=/dev/null # the package's: what Debian's nginx was configured with
        . ./conf_flags
        ./configure "${NGX_CONF_FLAGS[@]}" --builddir="$source/objs" >configure.log 2>&1 ||
            { tail -n 20 configure.log; exit 1; }
    )
    echo "$stamp" >"$target/stamp"
fi

NGINX_SOURCE_DIR=$source NGINX_BUILD_DIR=$source/objs CARGO_TARGET_DIR=$target \
    cargo build --release --locked --no-default-features
echo "module for nginx $version: $target/release/libngx_http_icomet_module.so"
