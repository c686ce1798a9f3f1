"""A name server whose names have the addresses that a test gives them."""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

_A, _IN = 1, 1
_NO_SUCH_NAME = 3
_SECONDS = 1
"""How long an answer may be kept."""


class NameServer:
    """`addresses`: those of each name, IPv4. They may be changed at any time. `address`: where it is."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.addresses: dict[str, list[str]] = {}

    def answer(self, query: bytes) -> bytes:
        """RFC 1035, section 4: one question, and an answer for each address if it asks for those."""
        number, flags = struct.unpack_from(">HH", query)
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode())
            at += 1 + length
        kind, _ = struct.unpack_from(">HH", query, at + 1)
        question = query[12 : at + 5]
        known = self.addresses.get(".".join(labels).lower())
        found = known if known and kind == _A else []
        rows = (
            struct.pack(">HHHIH4s", 0xC00C, _A, _IN, _SECONDS, 4, IPv4Address(one).packed) for one in found
        )
        # An answer, with authority, and with recursion if that was asked for.
        flags = 0x8480 | (flags & 0x0100) | (0 if known else _NO_SUCH_NAME)
        return struct.pack(">HHHHHH", number, flags, 1, len(found), 0, 0) + question + b"".join(rows)


@contextmanager
def name_server() -> Iterator[NameServer]:
    """A running one, by UDP on a free port of loopback."""

    class Handler(socketserver.DatagramRequestHandler):
        def handle(self) -> None:
            self.wfile.write(names.answer(self.rfile.read()))

    with socketserver.UDPServer(("127.0.0.1", 0), Handler) as server:
        names = NameServer(f"127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, name="names")
        thread.start()
        try:
            yield names
        finally:
            server.shutdown()
            thread.join()
