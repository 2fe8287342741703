#!/usr/bin/env python3
"""Checks where script/run.sh (`make run`) listens: the loopback alone, what LISTEN names, and that a wrong LISTEN is refused.

    script/test-run.py

Python's standard library alone.
"""

import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Far beyond what is needed, also on a busy machine.
DEADLINE = 60


def free_port():
    """A port that no address of this machine has in use."""
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def run(prefix, port, listen):
    environment = {**os.environ, "PORT": str(port), "RUN_PREFIX": prefix}
    environment.pop("LISTEN", None)
    if listen is not None:
        environment["LISTEN"] = listen
    return subprocess.Popen([str(ROOT / "script/run.sh")], env=environment, preexec_fn=die_with_parent, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def listening(port):
    """The addresses of IPv4 and IPv6 at which somebody listens at this port, as the kernel writes them."""
    found = set()
    for name in ("tcp", "tcp6"):
        path = pathlib.Path("/proc/net", name)
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        for fields in map(str.split, lines):
            address, at = fields[1].split(":")
            if fields[3] == "0A" and int(at, 16) == port:
                found.add(address)
    return found


def raw(address):
    """An address as /proc/net has it: words of four bytes, each in the machine's order."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    return "".join(packed[at:at + 4][::-1].hex().upper() for at in range(0, len(packed), 4))


def status(address, port, path):
    host = f"[{address}]" if ":" in address else address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{host}:{port}{path}", timeout=DEADLINE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def serves(listen, addresses, line):
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="icomet-run-") as prefix:
        os.chmod(prefix, 0o755)
        process = run(prefix, port, listen)
        try:
            seen = []
            # It says where it is when it listens.
            for text in process.stdout:
                seen.append(text)
                if "Ctrl-C ends it" in text:
                    break
            else:
                raise AssertionError(f"LISTEN={listen} did not start: {''.join(seen)}")
            assert any(line in text for text in seen), (line, seen)
            wanted = {raw(address) for address in addresses}
            assert listening(port) == wanted, (listen, listening(port), wanted)
            for address in addresses:
                # All of IPv4 has the loopback in it.
                address = "127.0.0.1" if address == "0.0.0.0" else address
                assert status(address, port, "/") == 200, (listen, address)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, process.returncode
        assert not listening(port), "it still listens"


def refused(listen):
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="icomet-run-") as prefix:
        process = run(prefix, port, listen)
        text, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 1, (listen, process.returncode, text)
        assert f"LISTEN={listen} is not an address: " in text, text
        assert not os.listdir(prefix), "nothing was written"


def main():
    alone = "Only this machine reaches it"
    serves(None, ["127.0.0.1"], alone)
    serves("127.0.0.1", ["127.0.0.1"], alone)
    serves("127.0.0.2", ["127.0.0.1", "127.0.0.2"], "It listens at 127.0.0.2 too")
    serves("*", ["0.0.0.0"], "It listens at every address of IPv4 too")
    if pathlib.Path("/proc/net/if_inet6").exists() and "lo" in pathlib.Path("/proc/net/if_inet6").read_text():
        serves("127.0.0.2 ::1", ["127.0.0.1", "127.0.0.2", "::1"], "It listens at 127.0.0.2, ::1 too")
    for wrong in ("8081", "everybody", "127.0.0.2;", "$(id)", "127.0.0.2:80/x", "10.0.0", "&"):
        refused(wrong)
    print("make run listens where it is told: all good")


if __name__ == "__main__":
    main()
