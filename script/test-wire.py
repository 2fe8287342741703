#!/usr/bin/env python3
"""Every transport over TLS, HTTP/2 and HTTP/3, over a reload, with a recorder of the wire.

    script/test-wire.py NGINX MODULE

Clients of all transports follow a channel each, through a proxy that takes apart what passes: on TCP
there may be nothing but TLS records, and no datagram may have a message in it that can be read. Each
client must get each message once, in order, and nginx must log nothing alarming. HTTP/3 needs the
package aioquic; without it, or with an nginx without http_v3, that part is left out, and said so.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile

DEADLINE = 120
WHOLE = 600
MESSAGES = 7
TRANSPORTS = {
    "poll": "sub?cname=%s&seq=%d",
    "jsonp": "sub?cname=%s&seq=%d&cb=f",
    "iframe": "iframe?cname=%s&seq=%d",
    "stream": "stream?cname=%s&seq=%d",
    "sse": "sse?cname=%s&seq=%d",
    "ws": "ws?cname=%s&seq=%d",
}
faults = []
gates = []


def fault(text):
    if text not in faults:
        faults.append(text)


class Records:
    """One direction of a TCP connection: TLS records, or a fault."""

    def __init__(self, direction):
        self.direction = direction
        self.data = b""
        self.count = 0

    def feed(self, data):
        self.data += data
        while len(self.data) >= 5:
            kind, major, length = self.data[0], self.data[1], int.from_bytes(self.data[3:5], "big")
            if not 20 <= kind <= 23 or major != 3 or length > 16384 + 256:
                fault(f"no TLS record, {self.direction}: {self.data[:80]!r}")
                self.data = b""
                return
            if len(self.data) < 5 + length:
                return
            self.data = self.data[5 + length:]
            self.count += 1


async def relay(reader, writer, to):
    up, down = Records("from a client"), Records("from nginx")
    try:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", to)
    except OSError:
        writer.close()
        return

    # Held over a reload: with a client that answers late, a worker that takes its connection for a plain one has time to write.
    gate = asyncio.Event()
    gate.set()
    gates.append(gate)

    async def pump(source, sink, records):
        try:
            while data := await source.read(65536):
                records.feed(data)
                if records is up:
                    await gate.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        if records is up:
            await gate.wait()
        sink.close()

    await asyncio.gather(pump(reader, other_writer, up), pump(other_reader, writer, down))


class Datagrams(asyncio.DatagramProtocol):
    """A relay for QUIC: a socket to nginx for each client."""

    def __init__(self, to):
        self.to = to
        self.peers = {}

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        if b'"content"' in data:
            fault(f"a message in plain text from a client: {data[:80]!r}")
        if address not in self.peers:
            self.peers[address] = asyncio.ensure_future(self.open(address))
        asyncio.ensure_future(self.forward(address, data))

    async def open(self, address):
        outer = self

        class Back(asyncio.DatagramProtocol):
            def datagram_received(self, data, _):
                if b'"content"' in data:
                    fault(f"a message in plain text from nginx: {data[:80]!r}")
                outer.transport.sendto(data, address)

        loop = asyncio.get_running_loop()
        return (await loop.create_datagram_endpoint(Back, remote_addr=("127.0.0.1", self.to)))[0]

    async def forward(self, address, data):
        (await self.peers[address]).sendto(data)


async def by_tls(port, path, websocket):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    how = "Connection: close\r\n"
    if websocket:
        how = ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
    writer.write(f"GET /icomet/{path} HTTP/1.1\r\nHost: localhost\r\n{how}\r\n".encode())
    try:
        while data := await reader.read(65536):
            yield data
    finally:
        writer.close()


async def by_http2(port, path, _):
    curl = await asyncio.create_subprocess_exec(
        "curl", "-skN", "--http2", "--max-time", str(WHOLE), "-w", "\n%{http_version}",
        f"https://127.0.0.1:{port}/icomet/{path}", stdout=subprocess.PIPE)
    try:
        while data := await curl.stdout.read(65536):
            yield data
    finally:
        if curl.returncode is None:
            curl.kill()
        await curl.wait()


async def by_http3(port, path, _):
    from aioquic.asyncio.client import connect
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import DataReceived
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import ConnectionTerminated, StreamReset

    class Client(QuicConnectionProtocol):
        http = None

        def quic_event_received(self, event):
            if isinstance(event, (ConnectionTerminated, StreamReset)):
                self.came.put_nowait(None)
            if self.http is None:
                return
            for part in self.http.handle_event(event):
                if isinstance(part, DataReceived):
                    self.came.put_nowait(part.data)
                    if part.stream_ended:
                        self.came.put_nowait(None)

    def create(*args, **kwargs):
        client = Client(*args, **kwargs)
        client.came = asyncio.Queue()
        client.http = H3Connection(client._quic)
        return client

    # A reload leaves a QUIC connection behind in silence: its packets go to the new workers.
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE,
                                      idle_timeout=5.0)
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=create) as client:
        stream = client._quic.get_next_available_stream_id()
        client.http.send_headers(stream, [
            (b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost"),
            (b":path", f"/icomet/{path}".encode()),
        ], end_stream=True)
        client.transmit()
        while data := await client.came.get():
            yield data


async def follow(how, port, cname, transport, seen):
    """Resumes whenever an answer ends, until all messages were seen."""
    pattern = re.compile(rb'"type":"data","cname":"%s","seq":(\d+),' % cname.encode())
    while len(seen) < MESSAGES:
        body = b""
        answer = how(port, TRANSPORTS[transport] % (cname, len(seen) + 1), transport == "ws")
        known = len(seen)
        try:
            async for data in answer:
                body += data
                seen[known:] = [int(seq) for seq in pattern.findall(body)]
                if len(seen) >= MESSAGES:
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        await answer.aclose()
        await asyncio.sleep(0.05)


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


async def ask(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /icomet-admin/{path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


def workers(master):
    with open(f"/proc/{master}/task/{master}/children") as children:
        return set(children.read().split())


async def until(what, condition):
    for _ in range(DEADLINE * 20):
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(what)


async def play(nginx, module, prefix, quic):
    plain, tls, proxy = (free_port() for _ in range(3))
    udp, udp_proxy = (free_port(socket.SOCK_DGRAM) for _ in range(2))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", f"{prefix}/key.pem", "-out", f"{prefix}/cert.pem"], check=True, capture_output=True)
    os.mkdir(f"{prefix}/logs")
    listen3 = f"listen 127.0.0.1:{udp} quic; http3 on;" if quic else ""
    with open(f"{prefix}/nginx.conf", "w") as conf:
        conf.write(f"""load_module {module};
daemon off; worker_processes 2; pid {prefix}/nginx.pid; error_log {prefix}/logs/error.log info;
events {{ worker_connections 512; }}
http {{
    access_log off; icomet_hub main {{ zone 16m; }}
    ssl_certificate {prefix}/cert.pem; ssl_certificate_key {prefix}/key.pem;
    server {{
        listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; http2 on; {listen3}
        location /icomet/ {{ icomet_sub main; }} location /icomet-admin/ {{ icomet_pub main; }}
        location = /status {{ stub_status; }}
    }}
}}
""")
    server = subprocess.Popen([nginx, "-p", prefix, "-e", f"{prefix}/logs/error.log", "-c", "nginx.conf"])
    tasks, seen = {}, {}
    try:
        async def up():
            try:
                return b" 200 " in await ask(plain, "info")
            except OSError:
                if server.poll() is not None:
                    raise RuntimeError("nginx did not start: " + open(f"{prefix}/logs/error.log").read())
                return False
        await until("nginx serves", up)
        tcp = await asyncio.start_server(lambda r, w: relay(r, w, tls), "127.0.0.1", proxy)
        hows = {"tls": (by_tls, proxy), "http2": (by_http2, proxy)}
        if quic:
            await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: Datagrams(udp), local_addr=("127.0.0.1", udp_proxy))
            hows["http3"] = (by_http3, udp_proxy)
        for name, (how, port) in hows.items():
            for transport in TRANSPORTS:
                if transport == "ws" and name != "tls":
                    continue    # RFC 8441 is not spoken
                cname = f"{name}-{transport}"
                seen[cname] = []
                tasks[cname] = asyncio.ensure_future(follow(how, port, cname, transport, seen[cname]))

        async def all_listen():
            answers = [await ask(plain, f"info?cname={cname}") for cname in seen]
            return all(re.search(rb'"subscribers":\s*"?[1-9]', answer) for answer in answers)

        async def publish(content):
            for cname in seen:
                if b" 200 " not in await ask(plain, f"push?cname={cname}&content={content}"):
                    fault(f"{cname}: {content} was not published")

        async def seen_by_all(count):
            for cname in seen:
                await until(f"{cname}: {seen[cname]}, {count} were published", lambda: len(seen[cname]) >= count or faults)

        for number in (1, 2):
            await until(f"all listen before {number}", all_listen)
            await publish(number)
            await seen_by_all(number)
        await until("all listen before the reload", all_listen)
        old = workers(server.pid)
        held = list(gates)
        for gate in held:
            gate.clear()
        os.kill(server.pid, signal.SIGHUP)
        await until("new workers", lambda: len(workers(server.pid) - old) >= 2)
        await publish(3)
        await seen_by_all(3)
        await publish(4)
        await until("the old workers are gone", lambda: not workers(server.pid) & old)
        await publish(5)
        for gate in held:
            gate.set()
        await seen_by_all(5)
        for number in (6, 7):
            await until(f"all listen before {number}", all_listen)
            await publish(number)
            await seen_by_all(number)
        for cname, numbers in seen.items():
            if numbers != list(range(1, MESSAGES + 1)):
                fault(f"{cname}: messages {numbers}")
        tcp.close()
        return len(seen)
    except (TimeoutError, asyncio.CancelledError):
        fault(f"seen: {seen}")
        raise
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
        for line in open(f"{prefix}/logs/error.log"):
            if re.search(r"\[(alert|crit|emerg)\]|panic|exited on signal", line):
                fault(line.strip())


def has_quic(nginx):
    version = subprocess.run([nginx, "-V"], capture_output=True, text=True).stderr
    if "--with-http_v3_module" not in version:
        return False
    try:
        import aioquic    # noqa: F401
    except ImportError:
        return False
    return True


def main():
    nginx, module = (os.path.abspath(path) for path in sys.argv[1:3])
    quic = has_quic(nginx)
    prefix = tempfile.mkdtemp(prefix="icomet-wire-")
    count = 0
    try:
        count = asyncio.run(asyncio.wait_for(play(nginx, module, prefix, quic), WHOLE))
    except Exception as error:    # whatever it is, what the wire showed is told with it
        fault(f"{type(error).__name__}: {error}")
    if faults:
        print("test-wire:", "\ntest-wire: ".join(faults), file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(prefix)
    print(f"test-wire: {count} subscribers over TLS, HTTP/2{' and HTTP/3' if quic else ''} and a reload: nothing in plain text"
          + ("" if quic else "; HTTP/3 was left out: it needs an nginx with http_v3 and aioquic"))


main()
