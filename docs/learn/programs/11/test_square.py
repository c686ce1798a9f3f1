from unittest import TestCase

import grpc
from square import square

from conexiones.testing import serve


class SquareTest(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(serve())

    def test_squares(self):
        self.assertEqual(square(self.server.address, "Nora", 12), 144)

    def test_an_empty_name_is_refused(self):
        with self.assertRaises(grpc.RpcError) as caught:
            square(self.server.address, "", 12)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_what_was_stored_survives_a_crash(self):
        square(self.server.address, "Olga", 7)
        self.server.kill()
        self.server.start()
        self.assertEqual(square(self.server.address, "Olga", 0), 49)
