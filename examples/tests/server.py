"""An nginx with the module and examples/nginx.conf, on a free port, and what the tests do with it."""

import ctypes
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent
NGINX = os.environ["TEST_NGINX_BINARY"]
MODULE = os.environ["TEST_NGINX_LOAD_MODULES"]
# Far beyond what is needed, also on a busy machine.
DEADLINE = 60

PUSH = {
    "php": ["php", "php/push.php"],
    "python": ["python3", "python/push.py"],
    "node": ["node", "node/push.mjs"],
    "java": ["java", "java/Push.java"],
}


def sign_command(language, port):
    return {
        "php": ["php", "-S", f"127.0.0.1:{port}", "php/sign.php"],
        "python": ["python3", "python/sign.py", str(port)],
        "node": ["node", "node/sign.mjs", str(port)],
        "java": ["java", "java/Sign.java", str(port)],
    }[language]


def environment(admin):
    """A locale in which arguments are UTF-8, and no proxy between the examples and this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return dict(kept, LC_ALL="C.UTF-8", ICOMET_ADMIN=admin)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def get(port, target, query=None, cookie=None):
    """Status, content type and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        target += "?" + urllib.parse.urlencode(query) if query else ""
        connection.request("GET", target, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()
    finally:
        connection.close()


class Process:
    """One that serves on a port until it is ended."""

    def __init__(self, command, port, log, env=None):
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                command, cwd=EXAMPLES, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=die_with_parent
            )
        end = time.monotonic() + DEADLINE
        while not self.listens(port):
            if self.process.poll() is not None or time.monotonic() > end:
                self.end()
                raise AssertionError(f"{command} does not serve: {log.read_text()}")
            time.sleep(0.02)

    @staticmethod
    def listens(port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=DEADLINE).close()
            return True
        except ConnectionRefusedError:
            return False

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Server:
    """nginx; what stands at its /sign is expected at `sign_port`."""

    def __init__(self):
        self.prefix = pathlib.Path(tempfile.mkdtemp(prefix="icomet-examples-"))
        self.port, self.sign_port = free_ports(2)
        self.admin = f"http://127.0.0.1:{self.port}/icomet-admin"
        conf = (EXAMPLES / "nginx.conf").read_text()
        for old, new in (
            ("listen  8080;", f"listen  127.0.0.1:{self.port};"),
            ("http://127.0.0.1:8001;", f"http://127.0.0.1:{self.sign_port};"),
            ("worker_processes  auto;", "worker_processes  2;"),
        ):
            assert conf.count(old) == 1, f"nginx.conf has not one line {old}"
            conf = conf.replace(old, new)
        for folder in ("logs", "modules"):
            (self.prefix / folder).mkdir()
        (self.prefix / "nginx.conf").write_text(conf)
        (self.prefix / "modules/ngx_http_icomet_module.so").symlink_to(pathlib.Path(MODULE).resolve())
        # As root, nginx would drop to a user that may not read this folder.
        directives = "daemon off;" + ("user root;" if os.geteuid() == 0 else "")
        command = [NGINX, "-p", str(self.prefix), "-e", "logs/error.log", "-c", "nginx.conf", "-g", directives]
        try:
            self.process = Process(command, self.port, self.prefix / "logs/out.log")
        except BaseException:
            shutil.rmtree(self.prefix)
            raise

    def end(self):
        self.process.end()
        log = (self.prefix / "logs/error.log").read_text()
        shutil.rmtree(self.prefix)
        bad = [line for line in log.splitlines() if "[alert]" in line or "[emerg]" in line or "panicked" in line]
        assert not bad, bad

    def get(self, target, query, cookie=None):
        return get(self.port, target, query, cookie)

    def subscriber(self, channel):
        """One that the server has let in, from the channel's beginning."""
        status, _, body = self.get("/icomet-admin/sign", {"cname": channel, "expires": 600})
        assert status == 200, body
        return Subscriber(self.port, channel, json.loads(body)["token"])


class Subscriber:
    """One that waits by a stream."""

    def __init__(self, port, channel, token):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        self.connection.request("GET", "/icomet/stream?" + urllib.parse.urlencode({"cname": channel, "token": token, "seq": 1}))
        self.answer = self.connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.answer.close()

    def next(self):
        """The next message."""
        while line := self.answer.readline():
            message = json.loads(line)
            if message["type"] != "noop":
                return message
        raise AssertionError("the stream has ended")
