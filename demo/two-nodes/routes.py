#!/usr/bin/env python3
"""The routing table of demo/two-nodes: which node has which channel, as the nodes' hooks tell it.

    routes.py --secret FILE [--listen 127.0.0.1:8110] [--database routes.db] [--node web-1=URL ... --every 30]

    POST /hook                           from the nodes: signed batches (docs/hooks.md)
    GET  /route?channel=NAME[&hub=main]  {"channel":"abc","node":"web-1","nodes":["web-1"]}; 404 and "node":null when no node has it
    GET  /routes                         {"web-1":["abc"],"web-2":[]}, of all hubs

Python's standard library alone. The table is a file (SQLite), and a batch is answered when it stands there: neither a service
that is killed nor one that is down for a while loses anything, because nginx sends again what was not answered.

What hooks cannot tell (a worker or a node that was killed takes its queue along) is learned by looking: each --node is asked every
--every seconds for the list of its channels; URL is where its icomet_pub is, as http://127.0.0.1:8101/icomet-admin.
"""

import argparse
import hashlib
import hmac
import json
import os
import signal
import sqlite3
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

# Seconds by which a request's time may differ from this machine's. An older one is a replay, or a clock is wrong.
FRESH = 300
# Seconds for which it is remembered that a channel is offline, and how far a worker's events have come. More than FRESH.
REMEMBER = 900
# The largest body in bytes: with batch=100, and names of 256 bytes, some 150 KB.
LARGEST = 4 << 20

SCHEMA = """
CREATE TABLE IF NOT EXISTS channels (node TEXT, hub TEXT, channel TEXT, change INTEGER, online INTEGER, time INTEGER, heard REAL,
    PRIMARY KEY (node, hub, channel)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_channel ON channels (channel, hub);
CREATE TABLE IF NOT EXISTS epochs (node TEXT, hub TEXT, epoch TEXT, current INTEGER, heard REAL, PRIMARY KEY (node, hub, epoch)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS workers (worker TEXT PRIMARY KEY, seq INTEGER, heard REAL) WITHOUT ROWID;
"""


def is_genuine(secret, timestamp, body, signature):
    """Whether a request is from who knows the secret, and was made just now."""
    right = "v1=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    # Compared in a time that does not tell how much of it is right.
    if not hmac.compare_digest(right.encode(), signature.encode()):
        return False
    return timestamp.isdecimal() and abs(time.time() - int(timestamp)) <= FRESH


class Routes:
    """The table. Every method may be called by any thread."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.database = sqlite3.connect(path, check_same_thread=False)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.executescript(SCHEMA)

    def take(self, events):
        """Notes a batch, all of it or nothing. One that was noted before changes nothing."""
        with self.lock, self.database:
            for event in events:
                self._take(event)
            old = (time.time() - REMEMBER,)
            self.database.execute("DELETE FROM workers WHERE heard < ?", old)
            self.database.execute("DELETE FROM channels WHERE online = 0 AND heard < ?", old)
            self.database.execute("DELETE FROM epochs WHERE current = 0 AND heard < ?", old)

    def _take(self, event):
        now, node, hub, epoch = time.time(), event["node"], event["hub"], event["epoch"]
        ask = self.database.execute
        # A worker's events come by seq: one that is not higher than the last was here before. That is a replay, or a batch whose
        # answer was lost.
        row = ask("SELECT seq FROM workers WHERE worker = ?", (event["worker"],)).fetchone()
        last = row[0] if row else 0
        if event["seq"] <= last:
            return
        if event["seq"] != last + 1:
            # Its queue was full while this service was away for long. README.md says how to learn what is there now.
            print(f"routes: {node} left out {event['seq'] - last - 1} events of hub {hub}", file=sys.stderr, flush=True)
        ask("REPLACE INTO workers VALUES (?, ?, ?)", (event["worker"], event["seq"], now))
        if not self._is_current(node, hub, epoch) or event["type"] not in ("online", "offline"):
            return
        # Workers are not in step: of a channel's events the one with the highest order is the last.
        ask(
            "INSERT INTO channels VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET change = excluded.change,"
            " online = excluded.online, time = excluded.time, heard = excluded.heard WHERE excluded.change > change",
            (node, hub, event["channel"], event["order"], event["type"] == "online", event["time"], now),
        )

    def _is_current(self, node, hub, epoch):
        """Another epoch: the node's hub began empty. What comes of an older one after that is of the past."""
        ask = self.database.execute
        row = ask("SELECT current FROM epochs WHERE node = ? AND hub = ? AND epoch = ?", (node, hub, epoch)).fetchone()
        if row is None:
            ask("DELETE FROM channels WHERE node = ? AND hub = ?", (node, hub))
            ask("UPDATE epochs SET current = 0 WHERE node = ? AND hub = ?", (node, hub))
            ask("INSERT INTO epochs VALUES (?, ?, ?, 1, ?)", (node, hub, epoch, time.time()))
        return row is None or row[0]

    def compare(self, node, hub, epoch, listed, began):
        """Takes over a node's list of its channels, which was begun at that time; what was told since then is newer."""
        with self.lock, self.database:
            if not self._is_current(node, hub, epoch):
                return
            ask = self.database.execute
            where = "node = ? AND hub = ? AND channel = ? AND heard < ?"
            for (channel,) in ask("SELECT channel FROM channels WHERE node = ? AND hub = ? AND online", (node, hub)).fetchall():
                if channel not in listed:
                    ask(f"UPDATE channels SET online = 0, heard = ? WHERE {where}", (time.time(), node, hub, channel, began))
            for channel in listed:
                now = time.time()
                ask("INSERT OR IGNORE INTO channels VALUES (?, ?, ?, 0, 1, ?, ?)", (node, hub, channel, int(now * 1000), now))
                ask(f"UPDATE channels SET online = 1, heard = ? WHERE {where} AND NOT online", (now, node, hub, channel, began))

    def nodes(self, hub, channel):
        """The nodes that have a channel, the one that got it last first."""
        with self.lock:
            rows = self.database.execute(
                "SELECT node FROM channels WHERE channel = ? AND hub = ? AND online ORDER BY time DESC", (channel, hub)
            )
            return [node for (node,) in rows]

    def all(self):
        """All channels by node."""
        with self.lock:
            found = {node: [] for (node,) in self.database.execute("SELECT DISTINCT node FROM epochs")}
            for node, channel in self.database.execute("SELECT node, channel FROM channels WHERE online ORDER BY channel"):
                found[node].append(channel)
            return found


def look(routes, node, url, hub="main"):
    """Asks a node for its channels, page by page, and compares."""
    began, listed, cursor = time.time(), set(), None
    while True:
        query = urlencode({"limit": 1000} | ({"cursor": cursor} if cursor else {}))
        with urllib.request.urlopen(f"{url}/api/channels?{query}", timeout=10) as answer:
            page = json.load(answer)
        listed.update(entry["channel"] for entry in page["channels"])
        cursor = page.get("cursor")
        if not cursor:
            return routes.compare(node, hub, page["epoch"], listed, began)


def look_for_ever(routes, nodes, every):
    while True:
        for node, url in nodes:
            try:
                look(routes, node, url)
            except (OSError, ValueError, LookupError) as error:
                # It is down: what it said last stands until it is back.
                print(f"routes: cannot compare with {node}: {error}", file=sys.stderr, flush=True)
        time.sleep(every)


class Handler(BaseHTTPRequestHandler):
    """One connection of a node, or of who asks."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def answer(self, status, value):
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status >= 400 and self.command == "POST":
            # What is left of the body is not read.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        if self.path != "/hook":
            return self.answer(404, {"error": "no such page"})
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self.answer(411, {"error": "no Content-Length"})
        if int(length) > LARGEST:
            return self.answer(413, {"error": "too large"})
        body = self.rfile.read(int(length))
        timestamp, signature = (self.headers.get(name, "") for name in ("Icomet-Timestamp", "Icomet-Signature"))
        if not is_genuine(self.server.secret, timestamp, body, signature):
            # nginx sends it again until the secret or the clock is put right, and says so in its error log.
            return self.answer(401, {"error": "wrong signature, or not of this time"})
        try:
            self.server.routes.take(json.loads(body)["events"])
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            return self.answer(400, {"error": f"no batch of events: {error!r}"})
        except sqlite3.Error as error:
            return self.answer(503, {"error": str(error)})
        return self.answer(200, {})

    def do_GET(self):
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if url.path == "/routes":
            return self.answer(200, self.server.routes.all())
        if url.path != "/route" or "channel" not in query:
            return self.answer(404, {"error": "ask for /route?channel=NAME, or /routes"})
        channel = query["channel"][0]
        nodes = self.server.routes.nodes(query.get("hub", ["main"])[0], channel)
        return self.answer(200 if nodes else 404, {"channel": channel, "node": nodes[0] if nodes else None, "nodes": nodes})

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description="Which node has which channel, as the nodes' hooks tell it.")
    parser.add_argument("--secret", required=True, help="the file that secret= of the hooks names")
    parser.add_argument("--listen", default="127.0.0.1:8110")
    parser.add_argument("--database", default="routes.db", help="a file, made if it is not there")
    parser.add_argument("--node", action="append", default=[], metavar="NAME=URL", help="a node, and where its icomet_pub is")
    parser.add_argument("--every", type=float, default=30, help="seconds between two looks at the nodes' own lists")
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    server.daemon_threads = True
    with open(options.secret, "rb") as file:
        server.secret = file.read().rstrip(b"\r\n")
    if len(server.secret) < 16:
        sys.exit(f"routes: {options.secret} holds no secret: openssl rand -hex 32 makes one")
    server.routes = Routes(options.database)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    nodes = [node.split("=", 1) for node in options.node]
    if nodes:
        threading.Thread(target=look_for_ever, args=(server.routes, nodes, options.every), daemon=True).start()
    print(f"routes: http://{options.listen}/routes", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
