#!/usr/bin/env python3
"""Checks demo/two-nodes as its README has it: starts demo/two-nodes/run.sh on free ports and does what users do.

    script/test-two-nodes.py [--keep]

Python's standard library alone. Waits for events, never for a time; what is not there within DEADLINE seconds is a failure.
"""

import ctypes
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
NGINX = os.environ.get("NGINX_BINARY", str(TARGET / "release/nginx-objs/nginx"))
MODULE = os.environ.get("MODULE", str(TARGET / "release/libngx_http_icomet_module.so"))
# Far beyond what is needed, also on a busy machine.
DEADLINE = 60
CHANNELS = 100
PORTS = {"front": 8100, "web-1": 8101, "web-2": 8102, "routes": 8110}


def until(what, look):
    """Looks until it is as wanted: `look` answers None then, or what it is still."""
    end = time.monotonic() + DEADLINE
    while (still := look()) is not None:
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {DEADLINE} s; still {still}")
        time.sleep(0.02)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def children(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found


def gone(pid):
    """Whether a process has ended; a zombie has, when it has no other threads, which would keep its sockets open."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        threads = len(list(pathlib.Path(f"/proc/{pid}/task").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat[stat.rindex(")") + 2] in "ZX" and threads <= 1


class Subscriber:
    """One that waits by server-sent events."""

    def __init__(self, demo, channel, token, seq):
        query = urllib.parse.urlencode({"cname": channel, "token": token, "seq": seq})
        self.socket = socket.create_connection(("127.0.0.1", demo.ports["front"]), timeout=DEADLINE)
        self.socket.sendall(f"GET /icomet/sse?{query} HTTP/1.1\r\nHost: demo\r\n\r\n".encode())
        self.file = self.socket.makefile("rb")
        status = self.file.readline()
        assert b" 200 " in status, f"{channel}: {status}"

    def next(self):
        """The next message."""
        while line := self.file.readline():
            if line.startswith(b"data: "):
                message = json.loads(line[6:])
                if message["type"] != "noop":
                    return message
        raise AssertionError("the subscriber's connection has ended")

    def ended(self):
        """Reads until the server closes."""
        try:
            while self.file.readline():
                pass
        except ConnectionError:
            pass

    def close(self):
        self.file.close()
        self.socket.close()


class Demo:
    """The running demo."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.ports = dict(zip(PORTS, free_ports(4)))
        self.log = open(prefix / "run.log", "wb")
        self.started = []
        env = dict(os.environ, PREFIX=str(prefix), NGINX_BINARY=NGINX, MODULE=MODULE, PORTS=" ".join(map(str, self.ports.values())),
                   EVERY="3600")
        self.run = self.start([str(ROOT / "demo/two-nodes/run.sh")], env)
        until("the demo is up", lambda: None if b"Ctrl-C" in (prefix / "run.log").read_bytes() else self.alive(self.run))

    def start(self, command, env=None):
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
        )
        self.started.append(process)
        return process

    def alive(self, process):
        assert process.poll() is None, (self.prefix / "run.log").read_text()
        return "starting"

    def pid(self, name):
        return int((self.prefix / f"logs/{name}.run.pid").read_text())

    def ask(self, where, target, form=None):
        """One request: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[where], timeout=DEADLINE)
        try:
            if form is None:
                connection.request("GET", target)
            else:
                body = urllib.parse.urlencode(form)
                connection.request("POST", target, body, {"Content-Type": "application/x-www-form-urlencoded"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def admin(self, where, endpoint, channel, form=None, **query):
        query = urllib.parse.urlencode(dict(query, cname=channel))
        return self.ask(where, f"/icomet-admin/{endpoint}?{query}", form)

    def sign(self, channel):
        status, body = self.admin("front", "sign", channel, expires=5)
        assert status == 200, f"sign: {status} {body}"
        answer = json.loads(body)
        return answer["token"], answer["seq"]

    def push(self, channel, content):
        """A POST with cname in its query."""
        return self.admin("front", "push", channel, {"content": content})[0]

    def subscribe(self, channel):
        token, seq = self.sign(channel)
        return Subscriber(self, channel, token, seq)

    def route(self, channel):
        status, body = self.ask("routes", "/route?" + urllib.parse.urlencode({"channel": channel}))
        answer = json.loads(body)
        assert (status == 200) == (answer["node"] is not None), answer
        return answer["nodes"]

    def truth(self, channel):
        """The nodes that have a channel, as they say themselves."""
        return [node for node in ("web-1", "web-2") if json.loads(self.admin(node, "check", channel)[1])]

    def forge(self, events, seconds=0, key=None, raw=None):
        """A batch as nginx would send it: the status of the answer."""
        key = key or (self.prefix / "hook.secret").read_bytes().rstrip()
        body = raw or json.dumps({"version": 1, "events": events}).encode()
        stamp = str(int(time.time()) + seconds)
        sign = "v1=" + hmac.new(key, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["routes"], timeout=DEADLINE)
        connection.request("POST", "/hook", body, {"Icomet-Timestamp": stamp, "Icomet-Signature": sign})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def serve_routes(self, *options):
        """Starts the service again, with the file that it had."""
        command = [sys.executable, str(ROOT / "demo/two-nodes/routes.py"), "--secret", str(self.prefix / "hook.secret")]
        command += ["--listen", f"127.0.0.1:{self.ports['routes']}", "--database", str(self.prefix / "routes.db"), *options]
        service = self.start(command)
        until("the service is back", lambda: None if listens(self.ports["routes"]) else self.alive(service))
        return service.pid

    def logged(self, node, text):
        return text in (self.prefix / f"logs/{node}.error.log").read_text()

    def end(self):
        self.run.send_signal(signal.SIGTERM)
        status = self.run.wait(DEADLINE)
        for process in self.started:
            process.terminate()
            process.wait(DEADLINE)
        return status


def deliver(demo, subscribers, content):
    """Publishes to each through the front, and sees each arrive at its subscriber."""
    for channel in subscribers:
        status = demo.push(channel, f"{content} {channel}")
        assert status == 200, f"push to {channel}: {status}"
    for channel, subscriber in subscribers.items():
        message = subscriber.next()
        found = (message["type"], message["cname"], message["content"])
        assert found == ("data", channel, f"{content} {channel}"), message


def routes_right(demo, channels):
    def look():
        wrong = [(c, demo.route(c), demo.truth(c)) for c in channels if demo.route(c) != demo.truth(c)]
        return f"{len(wrong)} wrong, first (channel, table, truth): {wrong[0]}" if wrong else None

    until("the routing table is right", look)


def check_transports(demo):
    """A WebSocket, and a poll for what came before, get through the front as well."""
    token, seq = demo.sign("transports")
    query = urllib.parse.urlencode({"cname": "transports", "token": token, "seq": seq})
    socket_ = socket.create_connection(("127.0.0.1", demo.ports["front"]), timeout=DEADLINE)
    head = f"GET /icomet/ws?{query} HTTP/1.1\r\nHost: demo\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    socket_.sendall((head + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
    file = socket_.makefile("rb")
    assert b" 101 " in file.readline()
    while file.readline() != b"\r\n":
        pass
    assert demo.push("transports", "hello") == 200
    first, length = file.read(2)
    assert first == 0x81 and length < 126, f"no short text frame: {first:x} {length}"
    assert json.loads(file.read(length))["content"] == "hello"
    status, body = demo.ask("front", f"/icomet/sub?{query}")
    assert status == 200 and json.loads(body)[0]["content"] == "hello", f"{status} {body}"
    file.close()
    socket_.close()


def check_refusals(demo):
    """What must not get into the table, and what must not go to just any node."""
    status, body = demo.ask("front", "/icomet-admin/push", {"cname": "x", "content": "y"})
    assert status == 400 and b"query" in body, f"cname in the body alone: {status} {body}"
    assert demo.ask("front", "/icomet/sub")[0] == 400
    assert b"ping" in demo.ask("front", "/icomet/ping?cb=f")[1]

    post = demo.forge

    def event(seq, kind, order, channel="forged", epoch="e1"):
        names = {"node": "web-9", "hub": "main", "epoch": epoch, "worker": "w" + epoch, "time": 1}
        return dict(names, id=f"w{epoch}-{seq}", seq=seq, type=kind, order=order, channel=channel)

    online, offline = event(1, "online", 1), event(2, "offline", 2)
    assert post([online], key=b"not what the nodes know") == 401
    assert post([online], seconds=-1000) == 401 and post([online], seconds=1000) == 401
    assert post([], raw=b"{") == 400 and post([{}]) == 400
    assert demo.route("forged") == []
    assert post([online]) == 200 and demo.route("forged") == ["web-9"]
    assert post([online, offline]) == 200 and demo.route("forged") == []
    assert post([online]) == 200 and demo.route("forged") == [], "a replay is noted"
    assert post([event(3, "online", 3)]) == 200 and demo.route("forged") == ["web-9"]
    # The node began anew; what comes late of its former life is not taken.
    assert post([event(1, "online", 1, "other", "e2")]) == 200
    assert post([event(4, "online", 4)]) == 200
    assert demo.route("forged") == [] and demo.route("other") == ["web-9"]


def check(demo):
    names = [f"user {number:03}" for number in range(CHANNELS)]
    subscribers = {name: demo.subscribe(name) for name in names}
    deliver(demo, subscribers, "one")
    routes_right(demo, names)
    node_of = {name: demo.route(name)[0] for name in names}
    shares = [sum(node == n for n in node_of.values()) for node in ("web-1", "web-2")]
    assert sum(shares) == CHANNELS and min(shares) > CHANNELS // 10, f"uneven: {shares}"
    table = json.loads(demo.ask("routes", "/routes")[1])
    assert sorted(table["web-1"] + table["web-2"]) == names, table

    # Who leaves: the entry goes.
    leaving = names[:10]
    for name in leaving:
        subscribers.pop(name).close()
    until("those that left are gone", lambda: [c for c in leaving if demo.route(c)] or None)
    routes_right(demo, names)
    check_refusals(demo)
    check_transports(demo)

    # A node dies, and is started again.
    master = demo.pid("web-1")
    family = [master, *children(master)]
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    until("web-1 is dead", lambda: [pid for pid in family if not gone(pid)] or None)
    lost = [name for name in subscribers if node_of[name] == "web-1"]
    left = {name: s for name, s in subscribers.items() if node_of[name] == "web-2"}
    for name in lost:
        subscribers[name].ended()
        subscribers.pop(name).close()
    deliver(demo, left, "two")
    assert demo.push(lost[0], "x") == 502, "a channel of a dead node went to another one"
    node = demo.start(
        [NGINX, "-p", str(demo.prefix), "-e", "stderr", "-c", "conf/web-1.conf", "-g", f"daemon off;{user()}"]
    )
    until("web-1 is back", lambda: None if listens(demo.ports["web-1"]) else demo.alive(node))
    # The first event of the new life takes the entries of the old one away, those who do not come back included.
    for name in lost[5:]:
        left[name] = demo.subscribe(name)
    deliver(demo, left, "three")
    routes_right(demo, names)
    assert {name: demo.route(name)[0] for name in left} == {name: node_of[name] for name in left}

    # The routing table's service dies, and channels come and go meanwhile.
    os.kill(demo.pid("routes"), signal.SIGKILL)
    until("the service is dead", lambda: None if gone(demo.pid("routes")) else "alive")
    came = [f"late {number}" for number in range(10)]
    went = [left.popitem()[0] for _ in range(10)]
    for name in went:
        demo.admin("front", "close", name)
    for name in came:
        left[name] = demo.subscribe(name)
    deliver(demo, left, "four")
    until("a node says so", lambda: None if demo.logged("web-1", "cannot be told") or demo.logged("web-2", "cannot be told") else "no line")
    service = demo.serve_routes()
    routes_right(demo, names + came)
    assert all(demo.route(name) for name in came) and not any(demo.route(name) for name in went)

    # What hooks could not tell is found by looking at the nodes' lists.
    gone_by = came[0]
    node = demo.route(gone_by)[0]
    epoch = json.loads(demo.ask(node, "/icomet-admin/api/channels")[1])["epoch"]
    about = {"node": node, "hub": "main", "epoch": epoch, "worker": "forged", "order": 1 << 53, "time": 1}
    wrong = [
        dict(about, id="forged-1", seq=1, type="online", channel="ghost"),
        dict(about, id="forged-2", seq=2, type="offline", channel=gone_by),
    ]
    assert demo.forge(wrong) == 200
    assert demo.route("ghost") == [node] and demo.route(gone_by) == []
    os.kill(service, signal.SIGKILL)
    until("the service is dead", lambda: None if gone(service) else "alive")
    lists = [f"{node}=http://127.0.0.1:{demo.ports[node]}/icomet-admin" for node in ("web-1", "web-2")]
    demo.serve_routes("--node", lists[0], "--node", lists[1], "--every", "0.1")
    until("the table was compared", lambda: demo.route("ghost") or (None if demo.route(gone_by) == [node] else "one is missing"))
    routes_right(demo, names + came)
    return shares


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE).close()
        return True
    except ConnectionRefusedError:
        return False


def user():
    return "user root;" if os.geteuid() == 0 else ""


def check_logs(prefix):
    for name in ("web-1", "web-2", "front"):
        text = (prefix / f"logs/{name}.error.log").read_text()
        bad = [line for line in text.splitlines() if re.search(r"\[(alert|crit|emerg)\]|panicked", line)]
        assert not bad, f"{name}: {bad[0]}"
        secret = (prefix / "hook.secret").read_text().strip()
        assert secret not in text, f"{name}: the secret is in the log"


def main():
    one, other = ((ROOT / f"demo/two-nodes/web-{n}.conf").read_text() for n in (1, 2))
    assert one.replace("web-1", "web-2").replace(":8101", ":8102") == other, "the nodes' files differ in more than the number"
    prefix = pathlib.Path(tempfile.mkdtemp(prefix="icomet-two-nodes-"))
    start = time.monotonic()
    try:
        demo = Demo(prefix)
        try:
            shares = check(demo)
        finally:
            status = demo.end()
        assert status == 0, f"run.sh ended with {status}"
        check_logs(prefix)
    except BaseException:
        for log in sorted(prefix.glob("logs/*.error.log")) + [prefix / "run.log"]:
            print(f"--- {log.name}", *log.read_text().splitlines()[-10:], sep="\n", file=sys.stderr)
        raise
    finally:
        if "--keep" not in sys.argv:
            shutil.rmtree(prefix, ignore_errors=True)
    print(
        f"two-nodes: ok, {time.monotonic() - start:.1f} s: {CHANNELS} channels, {shares[0]} and {shares[1]} on a node; a killed node "
        "and a killed service leave the table right, and what hooks could not tell is found"
    )


if __name__ == "__main__":
    main()
