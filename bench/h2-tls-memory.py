#!/usr/bin/env python3
"""Memory of an SSE subscriber that has an HTTP/2 connection over TLS for itself.

    bench/h2-tls-memory.py NGINX MODULE [SUBSCRIBERS]

The growth of the worker's PSS a subscriber: once all wait, and after a message to all.
"""

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def open_stream(port, context):
    plain = socket.create_connection(("127.0.0.1", port))
    conn = context.wrap_socket(plain)
    assert conn.selected_alpn_protocol() == "h2", "nginx does not speak HTTP/2"
    path = b"/icomet/sse?cname=c&seq=1"
    head = b"\x82\x87\x04" + bytes([len(path)]) + path + b"\x01\x09localhost"
    conn.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 5, 1, head))
    return conn


def read_until(conn, what):
    data = b""
    while what not in data:
        more = conn.recv(65536)
        assert more, "nginx closed the connection"
        data += more


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return int(re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.M)[1])


def main():
    nginx, module = (os.path.abspath(path) for path in sys.argv[1:3])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 500
    prefix = tempfile.mkdtemp(prefix="icomet-bench-")
    os.mkdir(f"{prefix}/logs")
    plain, tls = free_port(), free_port()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", f"{prefix}/key.pem", "-out", f"{prefix}/cert.pem"], check=True, capture_output=True)
    with open(f"{prefix}/nginx.conf", "w") as conf:
        conf.write(f"""load_module {module};
daemon off; worker_processes 1; pid {prefix}/nginx.pid; error_log {prefix}/logs/error.log;
events {{ worker_connections {count + 64}; }}
http {{
    access_log off; keepalive_timeout 600s;
    icomet_hub main {{ zone 16m; polling_timeout 300s; max_subscribers_per_channel 100000; }}
    ssl_certificate {prefix}/cert.pem; ssl_certificate_key {prefix}/key.pem;
    server {{
        listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; http2 on;
        location /icomet/ {{ icomet_sub main; }} location /icomet-admin/ {{ icomet_pub main; }}
    }}
}}
""")
    server = subprocess.Popen([nginx, "-p", prefix, "-e", f"{prefix}/logs/error.log", "-c", "nginx.conf"])
    try:
        def ask(path):
            return urllib.request.urlopen(f"http://127.0.0.1:{plain}/icomet-admin/{path}").read()
        while True:
            try:
                ask("info")
                break
            except OSError:
                assert server.poll() is None, open(f"{prefix}/logs/error.log").read()
                time.sleep(0.05)
        with open(f"/proc/{server.pid}/task/{server.pid}/children") as children:
            worker = children.read().split()[0]
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        warm = [open_stream(tls, context) for _ in range(20)]
        for conn in warm:
            read_until(conn, b"retry")
        before = pss(worker)
        conns = [open_stream(tls, context) for _ in range(count)]
        for conn in conns:
            read_until(conn, b"retry")
        print(f"idle: {(pss(worker) - before) / count:.1f} KB a subscriber")
        ask("push?cname=c&content=x")
        for conn in conns:
            read_until(conn, b'"content"')
        print(f"after a message: {(pss(worker) - before) / count:.1f} KB a subscriber")
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(prefix)


main()
