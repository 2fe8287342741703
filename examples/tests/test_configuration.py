"""What nginx.conf says of who reaches what."""

import http.client
import unittest

import server


class TestConfiguration(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = server.Server()
        cls.addClassCleanup(cls.server.end)

    def status(self, address, target):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, server.DEADLINE, source_address=(address, 0))
        self.addCleanup(connection.close)
        connection.request("GET", target)
        return connection.getresponse().status

    def test_admin_side_is_for_one_address(self):
        for target in ("/icomet-admin/info", "/icomet-admin/sign?cname=a", "/icomet-admin/push?cname=a&content=b"):
            with self.subTest(target):
                self.assertEqual(self.status("127.0.0.1", target), 200)
                self.assertEqual(self.status("127.0.0.2", target), 403)
        self.assertEqual(self.status("127.0.0.2", "/icomet/sub?cname=a"), 200)


if __name__ == "__main__":
    unittest.main()
