#!/usr/bin/env python3
"""Lets users listen: sign.py [PORT=8001] answers what a client's signUrl asks, GET /sign?cname=CHANNEL[&cb=CALLBACK]."""

import http.client
import os
import re
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

ADMIN = os.environ.get("ICOMET_ADMIN", "http://127.0.0.1:8080/icomet-admin")
TIMEOUT = 5  # seconds


def user_of(request):
    """Who asks. A real site looks into its session here: a plain cookie can be forged by anybody."""
    found = re.search(r"(?:^|; *)user=([A-Za-z0-9_-]+)(?:;|$)", request.headers.get("Cookie", ""))
    return found and found[1]


def may_listen(user, channel):
    return channel.startswith("public.") or (user is not None and channel == "user." + user)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)
        channel = query.get("cname", [""])[0]
        callback = query.get("cb", [""])[0]
        # The answer is a script that calls it: it must be a name and nothing else.
        if callback and not re.fullmatch(r"[A-Za-z0-9_$.]{1,128}", callback):
            return self.answer(400, "cb must be a function's name\n")
        if not may_listen(user_of(self), channel):
            return self.answer(403, "you may not listen to this channel\n")
        asked = {"cname": channel, "expires": 60, **({"cb": callback} if callback else {})}
        try:
            with urllib.request.urlopen(f"{ADMIN}/sign?{urlencode(asked)}", timeout=TIMEOUT) as signed:
                body = signed.read().decode()
        except urllib.error.HTTPError as error:
            return self.answer(error.code, error.read().decode())
        except (OSError, http.client.HTTPException) as error:
            self.log_error("no answer from %s: %s", ADMIN, error)
            return self.answer(502, "icomet cannot be reached\n")
        self.answer(200, body, "text/javascript" if callback else "application/json")

    def answer(self, status, body, type="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", type + "; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body.encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8001), Handler).serve_forever()
