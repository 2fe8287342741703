#!/usr/bin/env bash
# Runs the Autobahn testsuite, as a client, against "icomet_sub main ws_echo;".
#
#   script/autobahn.sh [CASE ...]    default: all of them; as in  script/autobahn.sh '1.*' '12.1.*'
#
# The suite is on PyPI and needs Python 2.7, which is in no Debian since 12: PYTHON2 names one, else python2.7 is looked for in
# PATH and among pyenv's. The report is left in target/autobahn/report. A case fails unless it is OK, NON-STRICT or
# INFORMATIONAL; UNIMPLEMENTED is what was not negotiated (server windows below 12 bits, in section 13).
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
folder=$target/autobahn
port=${AUTOBAHN_PORT:-18095}
[ $# -gt 0 ] || set -- '*'

python=${PYTHON2:-}
for candidate in python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
    [ -z "$python" ] && "$candidate" --version >/dev/null 2>&1 && python=$candidate
done
if [ -z "$python" ]; then
    echo 'autobahn: there is no Python 2.7. Install one (pyenv install 2.7.18), or name it by PYTHON2' >&2
    exit 1
fi

if [ ! -x "$folder/venv/bin/wstest" ]; then
    mkdir -p "$folder"
    "$python" -m pip install --quiet virtualenv==20.15.1
    "$python" -m virtualenv --quiet "$folder/venv"
    "$folder/venv/bin/pip" install --quiet autobahntestsuite==25.10.1
fi

rm -rf "$folder/report" "$folder/nginx"
mkdir -p "$folder/nginx/logs"
cat >"$folder/nginx/nginx.conf" <<END
load_module $target/release/libngx_http_icomet_module.so;
pid logs/nginx.pid;
error_log logs/error.log info;
worker_processes 1;
events { worker_connections 1024; }
http {
    access_log off;
    icomet_hub main { zone 16m; ws_max_message_size 32m; max_subscribers_per_channel 100; }
    server {
        listen 127.0.0.1:$port;
        location / { icomet_sub main ws_echo; }
    }
}
END
cases=$(printf '"%s",' "$@")
cat >"$folder/spec.json" <<END
{"outdir": "$folder/report", "servers": [{"agent": "icomet", "url": "ws://127.0.0.1:$port"}],
 "cases": [${cases%,}], "exclude-cases": [], "exclude-agent-cases": {}}
END

"$target/release/nginx-objs/nginx" -p "$folder/nginx" -c nginx.conf
# Written a moment after the command has returned.
until [ -s "$folder/nginx/logs/nginx.pid" ]; do sleep 0.05; done
trap 'kill "$(cat "$folder/nginx/logs/nginx.pid")"' EXIT
"$folder/venv/bin/wstest" -m fuzzingclient -s "$folder/spec.json" >"$folder/log" 2>&1 || {
    tail -n 30 "$folder/log"
    exit 1
}
if grep -E '\[(alert|crit|emerg|error)\]' "$folder/nginx/logs/error.log"; then exit 1; fi

python3 - "$folder/report/index.json" <<'END'
import collections
import json
import sys

cases = json.load(open(sys.argv[1]))["icomet"]
good = {"OK", "NON-STRICT", "INFORMATIONAL"}
count = collections.Counter()
bad = []
for name, case in cases.items():
    section = name.split(".")[0]
    for what in (case["behavior"], case["behaviorClose"]):
        fine = what in good or (what == "UNIMPLEMENTED" and section == "13")
        if not fine:
            bad.append(f"{name}: {what}")
    count[case["behavior"]] += 1
print("autobahn:", len(cases), "cases:", ", ".join(f"{n} {what}" for what, n in sorted(count.items())))
print("\n".join(bad))
sys.exit(1 if bad or not cases else 0)
END
