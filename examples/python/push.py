#!/usr/bin/env python3
"""Publishes a text: push.py CHANNEL TEXT [ID]. Prints icomet's answer. A text with an ID is published once, however often it is sent."""

import http.client
import json
import os
import sys
import urllib.error
import urllib.request
import uuid

ADMIN = os.environ.get("ICOMET_ADMIN", "http://127.0.0.1:8080/icomet-admin")
TIMEOUT = 5  # seconds


def publish(channel, text, id):
    """icomet's answer, as JSON. What failed is an OSError or http.client.HTTPException."""
    body = json.dumps({"channel": channel, "content": text, "id": id}).encode()
    request = urllib.request.Request(ADMIN + "/api/publish", body, {"Content-Type": "application/json"})
    try:
        return send(request)
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException):
        # Nobody knows whether it was published. The same id again makes sure, and publishes nothing twice.
        return send(request)


def send(request):
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return answer.read().decode()


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: push.py CHANNEL TEXT [ID]")
    channel, text = sys.argv[1:3]
    try:
        print(publish(channel, text, sys.argv[3] if len(sys.argv) > 3 else str(uuid.uuid4())).rstrip())
    except urllib.error.HTTPError as error:
        sys.exit(f"push: icomet answered {error.code}: {error.read().decode()}")
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"push: no answer from {ADMIN}: {error}")


if __name__ == "__main__":
    main()
