"""Python's websockets against a ws endpoint: what it agrees on, and some messages; each step is a line on stdout.

usage: ws_client.py URL
"""

import asyncio
import json
import sys

import websockets


async def main(url):
    async with websockets.connect(url, subprotocols=["icomet.v1"]) as ws:
        print("subprotocol", ws.subprotocol, flush=True)
        print("extensions", [extension.name for extension in ws.extensions], flush=True)
        for _ in range(3):
            message = json.loads(await ws.recv())
            print(message["type"], message["seq"], len(message["content"]), flush=True)
        await (await ws.ping())
        print("pong", flush=True)
        await ws.send(json.dumps({"type": "subscribe", "id": 5, "channel": "x" * 1000}))
        print("reply", json.loads(await ws.recv())["id"], flush=True)
    print("closed", ws.close_code, flush=True)


asyncio.run(main(sys.argv[1]))
