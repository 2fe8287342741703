"""Who is let in by an example's back end, as a browser meets it: behind nginx."""

import json
import unittest

import server


class Sign:
    """The tests of each language."""

    @classmethod
    def setUpClass(cls):
        cls.server = server.Server()
        cls.addClassCleanup(cls.server.end)
        cls.back_end = cls.start(cls.server.admin, cls.server.sign_port)
        cls.addClassCleanup(cls.back_end.end)

    @classmethod
    def start(cls, admin, port):
        log = cls.server.prefix / "logs/sign.log"
        return server.Process(server.sign_command(cls.language, port), port, log, server.environment(admin))

    def sign(self, channel, cookie=None, **more):
        return self.server.get("/sign", dict(more, cname=channel), cookie)

    def assert_lets_in(self, channel, token):
        """With the token a subscriber hears what was published; without it, or with another's, it is told 401."""
        status, _, body = self.server.get("/icomet-admin/push", {"cname": channel, "content": "hi"})
        self.assertEqual(status, 200, body)
        query = {"cname": channel, "seq": 1, "wait": 0}
        self.assertEqual(json.loads(self.server.get("/icomet/sub", dict(query, token=token))[2])[0]["content"], "hi")
        for wrong in ({}, {"token": "0" * 32}):
            message = json.loads(self.server.get("/icomet/sub", dict(query, **wrong))[2])
            self.assertEqual(message["type"], "401")

    def test_public_channel(self):
        status, kind, body = self.sign("public.news, \u00fcber & more")
        self.assertEqual((status, kind), (200, "application/json; charset=utf-8"), body)
        answer = json.loads(body)
        self.assertEqual((answer["type"], answer["cname"]), ("sign", "public.news, \u00fcber & more"))
        self.assert_lets_in(answer["cname"], answer["token"])

    def test_own_channel(self):
        status, _, body = self.sign("user.ann", "theme=dark; user=ann; lang=en")
        self.assertEqual(status, 200, body)
        self.assert_lets_in("user.ann", json.loads(body)["token"])

    def test_other_channels_are_forbidden(self):
        for channel, cookie in (
            ("user.bob", "user=ann"),
            ("user.ann", None),
            ("user.ann", "superuser=ann"),
            ("user.", "user="),
            ("user.", None),
            ("secret", "user=ann"),
            ("publicity", "user=ann"),
            ("user.bob,public.news", "user=ann"),
            ("", "user=ann"),
        ):
            with self.subTest(channel=channel, cookie=cookie):
                status, _, body = self.sign(channel, cookie)
                self.assertEqual(status, 403, body)
                self.assertNotIn("token", body)

    def test_several_names_are_one_channel(self):
        """A comma in what is signed is a part of the name: no token for a second channel gets out."""
        status, _, body = self.sign("public.news,user.bob")
        self.assertEqual((status, json.loads(body)["cname"]), (200, "public.news,user.bob"))
        query = {"cname": "user.bob", "seq": 1, "wait": 0, "token": json.loads(body)["token"]}
        self.assertEqual(json.loads(self.server.get("/icomet/sub", query)[2])["type"], "401")

    def test_callback(self):
        status, kind, body = self.sign("public.news", cb="jQuery.take_1$")
        self.assertEqual((status, kind), (200, "text/javascript; charset=utf-8"), body)
        self.assertTrue(body.startswith("/**/jQuery.take_1$({") and body.endswith("});\n"), body)
        self.assertEqual(json.loads(body[len("/**/jQuery.take_1$(") : -3])["cname"], "public.news")

    def test_bad_callback_is_refused(self):
        for callback in ("alert(1)//", "a b", "<script>", "take\n", "x" * 129, "\u00fc"):
            with self.subTest(callback=callback):
                status, kind, body = self.sign("public.news", cb=callback)
                self.assertEqual((status, kind), (400, "text/plain; charset=utf-8"))
                self.assertEqual(body, "cb must be a function's name\n")

    def test_odd_requests(self):
        """It answers them, and goes on."""
        for target, statuses in (
            ("/sign", {403}),
            ("/sign?", {403}),
            ("/sign?cname[]=public.news", {400, 403}),
            ("/sign?cname=public.%zz", {200, 400}),
            ("/sign?cname=public.%ff", {200, 400}),
            ("/sign?cname=public.news&cb", {200}),
            ("/sign?cname=secret&cname=public.news", {200, 403}),
        ):
            with self.subTest(target):
                self.assertIn(server.get(self.server.port, target)[0], statuses)
        self.assertEqual(self.sign("public.news", "user; a,b:c=d;; user")[0], 200)

    def test_what_icomet_refuses(self):
        status, _, body = self.sign("public." + "x" * 256)
        self.assertEqual(status, 400, body)
        self.assertIn("cname", json.loads(body)["content"])

    def test_icomet_away(self):
        away, port = server.free_ports(2)
        back_end = self.start(f"http://127.0.0.1:{away}/icomet-admin", port)
        self.addCleanup(back_end.end)
        status, _, body = server.get(port, "/sign", {"cname": "public.news"})
        self.assertEqual((status, body), (502, "icomet cannot be reached\n"))


class TestPhp(Sign, unittest.TestCase):
    language = "php"


class TestPython(Sign, unittest.TestCase):
    language = "python"


class TestNode(Sign, unittest.TestCase):
    language = "node"


class TestJava(Sign, unittest.TestCase):
    language = "java"


if __name__ == "__main__":
    unittest.main()
