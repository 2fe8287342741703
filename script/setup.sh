#!/usr/bin/env bash
# Installs what `make run`, `make two-nodes`, `make test` or `make bench` needs and this machine lacks: Debian packages, and for
# the tests schemathesis in target/venv and clients from npm in target/npm. Rust is asked for.
#
#   script/setup.sh run    compilers and libraries for the module and the vendored nginx
#   script/setup.sh demo   the same, and Python for demo/two-nodes
#   script/setup.sh test   the same, Debian's own nginx, Test::Nginx, valgrind and what the suites call
#   script/setup.sh debian  what `run` installs, Debian's own nginx and Test::Nginx
#   script/setup.sh java   what `run` installs, and a JDK, JUnit and Gson for clients/java
#   script/setup.sh examples  the same, and PHP, Python, Node and curl for examples/
#   script/setup.sh bench  what `run` installs, Debian's own nginx and nchan for it
set -eu

cd "$(dirname "$0")/.."
RUST_MIN=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
TEST_NGINX_DEB=libtest-nginx-perl_0.32.10.g8398ecb-1_all.deb
TEST_NGINX_SHA256=ea9a9cf6b5276f071d32ac5f1660215fdd9bc0c10861858b530b05f1e16df356

run_packages=(gcc libc6-dev make clang libclang-dev libpcre2-dev zlib1g-dev libssl-dev)
debian_packages=(nginx nginx-dev perl)
test_packages=(nginx nginx-dev valgrind curl openssl perl libio-socket-ssl-perl psmisc procps shellcheck
    python3-venv python3-websockets nodejs node-ws)
java_packages=(default-jdk-headless junit4 libgoogle-gson-java)
examples_packages=(php-cli python3 nodejs curl default-jdk-headless)
# A node that is not Debian's brings its own npm.
command -v npm >/dev/null || test_packages+=(npm)
# Without it `make test-browser` is skipped.
browser_package=chromium-headless-shell
bench_packages=(nginx libnginx-mod-nchan)

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "these packages need root, and there is no sudo. As root: apt-get install ${missing[*]}"
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# Prints which of the packages are not installed.
missing_of() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

check_rust() {
    local version
    if ! command -v cargo >/dev/null; then
        if [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
            die "cargo is installed but not in PATH: run  . \"${CARGO_HOME:-$HOME/.cargo}/env\"  first"
        fi
        die "there is no Rust here. Install it from https://rustup.rs (version $RUST_MIN or newer; Debian 12's own is older)"
    fi
    version=$(rustc --version | cut -d ' ' -f 2)
    printf '%s\n%s\n' "$RUST_MIN" "$version" | sort -V -C ||
        die "Rust is $version, and $RUST_MIN or newer is needed: rustup update stable"
    if [ "$1" = test ] && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
        command -v rustup >/dev/null || die "rustfmt or clippy is missing, and there is no rustup to add them with"
        say "adding rustfmt and clippy by rustup: make test checks with them"
        rustup component add rustfmt clippy
    fi
}

# Debian's nginx starts as a service on port 80 when it is installed; it is needed only as a binary.
install_without_service() {
    # 101 is what the Debian policy calls "action forbidden by policy".
    local policy=/usr/sbin/policy-rc.d made="" verdict=0 status=0
    [ ! -e "$policy" ] || "$policy" nginx start >/dev/null 2>&1 || verdict=$?
    if [ ! -e "$policy" ]; then
        made=yes
        # shellcheck disable=SC2064 # the path is fixed here, and the function's variables are gone at exit
        trap "as_root rm -f $policy" EXIT
        # Only nginx is refused: another package's service keeps what it would do otherwise.
        # shellcheck disable=SC2016 # the words are for the policy to expand
        printf '%s\n' '#!/bin/sh' 'for word; do case $word in nginx|nginx.service) exit 101 ;; esac; done' 'exit 0' |
            as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    elif [ "$verdict" -ne 101 ]; then
        die "$policy lets services start, so that installing nginx would open port 80. Install it yourself:
  apt-get install ${missing[*]}"
    fi
    apt_install "$@" || status=$?
    if [ -n "$made" ]; then
        as_root rm -f "$policy"
        trap - EXIT
    fi
    [ "$status" -eq 0 ] || return "$status"
    # Otherwise the next boot would start it.
    as_root update-rc.d nginx disable >/dev/null 2>&1 || say "could not disable the service nginx for the next boot"
}

# The place that this machine's apt has Debian's packages from, a mirror of its own perhaps.
debian_pool() {
    # shellcheck disable=SC2016 # the words are for apt to expand
    apt-get indextargets --format '$(ORIGIN)/$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's|^Debian/Debian ||p' | sed -n '1s|/*$||p'
}

# Test::Nginx is not in Debian 12. The package of Debian sid is pure Perl and installs with 12's own dependencies.
install_test_nginx() {
    local folder pool
    if [ -n "$(apt-cache madison libtest-nginx-perl 2>/dev/null)" ]; then
        apt_install libtest-nginx-perl
        return
    fi
    pool=$(debian_pool)
    [ -n "$pool" ] || die "apt's sources name no archive of Debian that Test::Nginx could be had from. Install it yourself: $TEST_NGINX_DEB
  of Debian sid, or the perl module Test::Nginx"
    folder=$(mktemp -d)
    # _apt, as which apt downloads, must be able to write here.
    chmod 755 "$folder"
    if ! /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file \
        "$pool/pool/main/libt/libtest-nginx-perl/$TEST_NGINX_DEB" "$folder/$TEST_NGINX_DEB" \
        "SHA256:$TEST_NGINX_SHA256"; then
        say "Debian's pool has another version by now: asking sid's own list"
        download_from_sid "$folder" "$pool"
    fi
    apt_install -o APT::Sandbox::User=root "$folder"/libtest-nginx-perl_*.deb
    rm -rf "$folder"
}

# In a place of its own: Debian's Python takes no packages from elsewhere.
install_venv() {
    local venv=${CARGO_TARGET_DIR:-$PWD/target}/venv wanted=script/requirements-test.txt
    ! cmp -s "$wanted" "$venv/installed.txt" || return 0
    say "installing $(tr '\n' ' ' <"$wanted")in $venv"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$venv/installed.txt"
}

# The lock file has the checksums.
install_npm() {
    local folder=${CARGO_TARGET_DIR:-$PWD/target}/npm wanted=script/npm/package-lock.json
    ! cmp -s "$wanted" "$folder/installed.json" || return 0
    say "installing the clients of script/npm/package.json in $folder"
    mkdir -p "$folder"
    cp script/npm/package.json script/npm/package-lock.json "$folder"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
    cp "$wanted" "$folder/installed.json"
}

has_browser() {
    local name
    for name in chromium-headless-shell chromium; do
        ! command -v "$name" >/dev/null || return 0
    done
    return 1
}

install_browser() {
    has_browser || apt_install "$browser_package" || say "$browser_package cannot be installed: make test-browser will be skipped"
}

# What the tests have from elsewhere.
install_for_tests() {
    install_venv
    install_npm
}

# Lists of their own, so that this machine's package sources stay as they are. apt checks the signatures.
download_from_sid() {
    local folder=$1 pool=$2 options
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $pool sid main" >"$folder/sources.list"
    options=(-qq -o APT::Sandbox::User=root -o "Dir::Etc::SourceList=$folder/sources.list"
        -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache"
        -o Acquire::Languages=none)
    apt-get "${options[@]}" update
    (cd "$folder" && rm -f ./*.deb && apt-get "${options[@]}" download libtest-nginx-perl)
}

[ $# -eq 1 ] || die "usage: script/setup.sh run|demo|test|debian|java|examples|bench"
case $1 in
    run) wanted=("${run_packages[@]}") ;;
    demo) wanted=("${run_packages[@]}" python3) ;;
    test) wanted=("${run_packages[@]}" "${test_packages[@]}" "${java_packages[@]}" "${examples_packages[@]}") ;;
    debian) wanted=("${run_packages[@]}" "${debian_packages[@]}") ;;
    java) wanted=("${run_packages[@]}" "${java_packages[@]}") ;;
    examples) wanted=("${run_packages[@]}" "${examples_packages[@]}") ;;
    bench) wanted=("${run_packages[@]}" "${bench_packages[@]}") ;;
    *) die "usage: script/setup.sh run|demo|test|debian|java|examples|bench" ;;
esac
check_rust "$1"

if ! command -v apt-get >/dev/null; then
    say "this is no Debian: see to it yourself that the equivalents of these packages are installed: ${wanted[*]}"
    [ "$1" != test ] || install_for_tests
    exit 0
fi
mapfile -t missing < <(missing_of "${wanted[@]}")
perl_missing=""
if [[ $1 = test || $1 = debian ]] && [ -n "$(missing_of libtest-nginx-perl)" ] && ! perl -MTest::Nginx::Socket -e 1 2>/dev/null; then
    perl_missing=yes
fi
browser_missing=""
[ "$1" != test ] || has_browser || browser_missing=yes
if [ ${#missing[@]} -eq 0 ] && [ -z "$perl_missing$browser_missing" ]; then
    [ "$1" != test ] || install_for_tests
    exit 0
fi

make=$1
[ "$1" != debian ] || make=test-debian
say "installing for 'make $make': ${missing[*]}${perl_missing:+ libtest-nginx-perl}${browser_missing:+ $browser_package}"
as_root apt-get update -qq || say "a package list could not be refreshed; trying with what is there"
case " ${missing[*]} " in
    *" nginx "*) install_without_service "${missing[@]}" ;;
    "  ") ;;
    *) apt_install "${missing[@]}" ;;
esac
[ -z "$perl_missing" ] || install_test_nginx
[ -z "$browser_missing" ] || install_browser
[ "$1" != test ] || install_for_tests
say "done"
