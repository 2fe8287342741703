#!/usr/bin/env bash
# Builds clients/java with javac, as Maven would for its users, and runs its tests against the vendored nginx with the module.
#
#   script/test-java.sh [SECONDS]    how long the test with random cuts lasts (10)
#
# TEST_NGINX_BINARY and TEST_NGINX_LOAD_MODULES name another nginx and module than the vendored ones.
# ICOMET_JAVA_OUT (default target/java) takes the classes and the jar.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
out=${ICOMET_JAVA_OUT:-$target/java}
nginx=${TEST_NGINX_BINARY:-$target/release/nginx-objs/nginx}
module=${TEST_NGINX_LOAD_MODULES:-$target/release/libngx_http_icomet_module.so}
seconds=${1:-10}
source=clients/java/src
jars=/usr/share/java
version=$(sed -n 's:^    <version>\(.*\)</version>$:\1:p' clients/java/pom.xml)

rm -rf "$out"
mkdir -p "$out/classes" "$out/tests"
find $source/main -name '*.java' -print0 |
    xargs -0 javac -encoding UTF-8 --release 8 -Xlint:all,-options -Werror -cp "$jars/gson.jar" -d "$out/classes"
jar --create --file "$out/icomet-client-$version.jar" -C "$out/classes" .
find $source/test -name '*.java' -print0 |
    xargs -0 javac -encoding UTF-8 --release 11 -Xlint:all,-try -Werror -cp "$out/icomet-client-$version.jar:$jars/gson.jar:$jars/junit4.jar" -d "$out/tests"
mapfile -t tests < <(cd "$out/tests" && find . -name '*Test.class' | sed 's:^\./::; s:\.class$::; s:/:.:g' | sort)
# The tests stand before the jar's classes: a package of both.
exec java -ea -Dicomet.nginx="$nginx" -Dicomet.module="$module" -Dicomet.cuts.seconds="$seconds" \
    -cp "$out/tests:$out/icomet-client-$version.jar:$jars/gson.jar:$jars/junit4.jar:$jars/hamcrest-core.jar" \
    org.junit.runner.JUnitCore "${tests[@]}"
