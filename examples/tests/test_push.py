"""What a text goes through between an example's command line and a subscriber."""

import http.client
import http.server
import json
import re
import shlex
import socket
import subprocess
import threading
import unittest

import server

# What a shell, JSON, HTML, a form or an encoding could spoil.
TEXT = "He said \"hi\" & 'ho' <b>\\n</b>\n\ttab; %20+=?#\r\nzweite Zeile: \u00fc \u20ac \U0001f600 $HOME `x` \u2028."
CHANNEL = 'room 7/\u00e4&b="+%2C,c'


class Cutter:
    """Stands before the server, hands on what comes, and cuts the connection instead of the first `cuts` answers."""

    def __init__(self, port, cuts):
        self.seen = seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                seen.append((self.path, body))
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=server.DEADLINE)
                connection.request("POST", self.path, body, {"Content-Type": self.headers["Content-Type"]})
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                self.close_connection = True
                if len(seen) > cuts:
                    self.send_response(answer.status)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.admin = f"http://127.0.0.1:{self.http.server_port}/icomet-admin"
        self.thread = threading.Thread(target=self.http.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


class Push:
    """The tests of each language."""

    statuses = {1}
    silence = "no answer from"

    @classmethod
    def setUpClass(cls):
        cls.server = server.Server()
        cls.addClassCleanup(cls.server.end)

    def command(self, *arguments):
        return [*server.PUSH[self.language], *arguments]

    def run_push(self, *arguments, admin=None):
        return subprocess.run(
            self.command(*arguments), cwd=server.EXAMPLES, env=server.environment(admin or self.server.admin), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=server.DEADLINE,
        )

    def push(self, *arguments, admin=None):
        done = self.run_push(*arguments, admin=admin)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def refused(self, *arguments, admin=None):
        """What it says about a text that was not published."""
        done = self.run_push(*arguments, admin=admin)
        self.assertIn(done.returncode, self.statuses, done.stderr)
        self.assertNotEqual(done.stderr, "")
        return done.stderr

    def test_text_arrives_as_it_is(self):
        with self.server.subscriber(CHANNEL) as subscriber:
            answer = self.push(CHANNEL, TEXT, "as it is")
            self.assertEqual((answer["channel"], answer["duplicate"]), (CHANNEL, False))
            self.assertEqual(subscriber.next(), {"type": "data", "cname": CHANNEL, "seq": 1, "content": TEXT})

    def test_same_id_is_published_once(self):
        with self.server.subscriber("twice") as subscriber:
            self.assertFalse(self.push("twice", "one", "order/1 & more")["duplicate"])
            self.assertTrue(self.push("twice", "one", "order/1 & more")["duplicate"])
            self.push("twice", "two", "order/2")
            self.assertEqual([subscriber.next()["content"] for _ in range(2)], ["one", "two"])

    def test_refusal_is_told(self):
        self.push("reused", "one", "order/1")
        said = self.refused("reused", "another text", "order/1")
        self.assertIn("422", said)
        self.assertIn("id_reused", said)

    def test_lost_answer_is_asked_for_again(self):
        with self.server.subscriber("cut") as subscriber, Cutter(self.server.port, 1) as cutter:
            self.assertTrue(self.push("cut", "one", "cut/1", admin=cutter.admin)["duplicate"])
            self.assertEqual(len(cutter.seen), 2)
            self.assertEqual(*cutter.seen)
            self.push("cut", "two", "cut/2")
            self.assertEqual([subscriber.next()["content"] for _ in range(2)], ["one", "two"])

    def test_it_does_not_ask_for_ever(self):
        with Cutter(self.server.port, 1000) as cutter:
            self.assertIn(self.silence, self.refused("cut for ever", "one", "ever", admin=cutter.admin))
            self.assertEqual(len(cutter.seen), 2)

    def test_icomet_away(self):
        admin = f"http://127.0.0.1:{server.free_ports(1)[0]}/icomet-admin"
        said = self.refused("news", "one", "away", admin=admin)
        self.assertIn(self.silence, said)
        self.assertIn(re.search(r":(\d+)/", admin)[1], said)


class Program(Push):
    def test_ids_differ_without_being_given(self):
        for seq in (1, 2):
            answer = self.push("no id", "the same")
            self.assertEqual((answer["seq"], answer["duplicate"]), (seq, False))

    def test_usage(self):
        self.assertIn("usage:", self.refused("news"))


class TestPhp(Program, unittest.TestCase):
    language = "php"


class TestPython(Program, unittest.TestCase):
    language = "python"


class TestNode(Program, unittest.TestCase):
    language = "node"


class TestJava(Program, unittest.TestCase):
    language = "java"


def blocks():
    """The README's blocks of shell code."""
    return re.findall(r"^```sh\n(.*?)^```$", (server.EXAMPLES / "README.md").read_text(), re.MULTILINE | re.DOTALL)


class TestShell(Push, unittest.TestCase):
    """The function `push` of the README."""

    # curl's own.
    statuses = {7, 22, 52}
    silence = "curl: ("

    def command(self, *arguments):
        function = next(block for block in blocks() if block.startswith("push() {"))
        return ["bash", "-c", f"{function}\npush {shlex.join(arguments)}"]

    def refused(self, *arguments, admin=None):
        """What curl has of a refusal's body is its output."""
        done = self.run_push(*arguments, admin=admin)
        self.assertIn(done.returncode, self.statuses, done.stderr)
        return done.stdout + done.stderr

    def test_old_endpoint(self):
        with self.server.subscriber("news") as subscriber:
            line = next(block for block in blocks() if "content=" in block)
            environment = server.environment(self.server.admin)
            done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=server.DEADLINE)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(json.loads(done.stdout), {"type": "ok"})
            self.assertEqual(subscriber.next()["content"], 'He said "hi" & left')


class TestSilence(unittest.TestCase):
    def test_server_that_never_answers(self):
        """All at once, because each waits out its own patience twice."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            env = server.environment(f"http://127.0.0.1:{listener.getsockname()[1]}/icomet-admin")
            started = {
                name: subprocess.Popen([*command, "news", "hi"], cwd=server.EXAMPLES, env=env, stderr=subprocess.PIPE, text=True)
                for name, command in server.PUSH.items()
            }
            for name, process in started.items():
                with self.subTest(name):
                    said = process.communicate(timeout=server.DEADLINE)[1]
                    self.assertEqual(process.returncode, 1, said)
                    self.assertIn("no answer from", said)


if __name__ == "__main__":
    unittest.main()
