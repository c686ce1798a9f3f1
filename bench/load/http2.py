"""The part of HTTP/2 that is needed to send gRPC messages over many streams from prebuilt bytes.

It handles only what servers send to a client that opens all its streams at the start.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import hpack

from bench.peers.server_process import Failed

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
ACK = END_STREAM = 1
END_HEADERS = 4
FRAME = 16384
"""Bytes of the largest frame that every server accepts."""

HEAD = 9
"""Bytes of the header of a frame."""

_SAID = ("grpc-status", "grpc-message")
_INITIAL_WINDOW_SIZE = 4
_MAX_FRAME_SIZE = 5
_LARGEST = 2**31 - 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return frame_head(len(payload), kind, flags, stream) + payload


def frame_head(length: int, kind: int, flags: int, stream: int) -> bytes:
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream)


def _literal(name: str, value: str) -> bytes:
    """A header field in HPACK, as a never-indexed literal. Name and value have fewer than 127 bytes."""
    return b"\x10" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


@dataclass(slots=True, eq=False)
class Stream:
    """One call: its send window, and the received bytes that are not a whole message yet."""

    number: int
    window: int = 65535
    incoming: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def messages(self, data: bytes) -> Iterator[bytes]:
        self.incoming += data
        while len(self.incoming) >= 5:
            end = 5 + int.from_bytes(self.incoming[1:5], "big")
            if len(self.incoming) < end:
                return
            yield bytes(self.incoming[5:end])
            del self.incoming[:end]


class Connection:
    """A connection with `count` calls of `path`, which begin when it is opened.

    largest: bytes of the largest frame that the server accepts. initial: bytes of a stream's initial window.
    `source` is the address that it comes from, and by which it has shares; any if it is empty.
    """

    def __init__(self, address: str, path: str, count: int, *, source: str = "") -> None:
        self._address, self._path, self._source = address, path, source
        self.window = 65535
        self.streams = {number: Stream(number) for number in range(1, 2 * count, 2)}
        self.largest = FRAME
        self.initial = 65535
        self._incoming = bytearray()
        self._headers = hpack.Decoder()
        self._block = bytearray()
        """The parts of headers so far, of which the last one has not come."""

    def open(self) -> None:
        """Connects, and begins the calls."""
        host, _, port = self._address.rpartition(":")
        source = (self._source, 0) if self._source else None
        self.socket = socket.create_connection((host, int(port)), timeout=60, source_address=source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": self._path,
            ":authority": self._address,
            "content-type": "application/grpc",
            "te": "trailers",
        }
        block = b"".join(_literal(name, value) for name, value in fields.items())
        # The windows are so large that they need no updates.
        settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _LARGEST)
        start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings)
        start += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGEST - 65535))
        self.socket.sendall(start)
        self._settled = False
        while not self._settled:
            for _ in self.receive():
                pass
        self.socket.sendall(b"".join(frame(HEADERS, END_HEADERS, number, block) for number in self.streams))

    def send(self, stream: Stream, parts: list[bytes], size: int) -> bool:
        """Sends the frames of a message of `size` bytes. Returns False, without sending, if a window is too
        small."""
        if size > min(stream.window, self.window):
            if size > self.initial:
                raise Failed(f"a message of {size} bytes is more than the server's window, {self.initial}")
            return False
        stream.window -= size
        self.window -= size
        sent = self.socket.sendmsg(parts)
        if sent < sum(map(len, parts)):
            self.socket.sendall(memoryview(b"".join(parts))[sent:])
        return True

    def close(self) -> None:
        """Half-closes all calls, waits until they have ended, and closes the connection."""
        self.socket.sendall(b"".join(frame(DATA, END_STREAM, number) for number in self.streams))
        while not all(stream.ended for stream in self.streams.values()):
            for _ in self.receive():
                pass
        self.socket.close()

    def receive(self) -> Iterator[tuple[Stream, bytes]]:
        """Reads once, and yields the messages that are complete. Raises Failed if the server ends a call
        early."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise Failed("the server closed the connection")
        self._incoming += data
        at, end = 0, len(self._incoming)
        while end - at >= HEAD:
            length = int.from_bytes(self._incoming[at : at + 3], "big")
            if end - at < HEAD + length:
                break
            kind, flags, number = struct.unpack_from(">BBI", self._incoming, at + 3)
            payload = bytes(self._incoming[at + HEAD : at + HEAD + length])
            at += HEAD + length
            if kind == DATA:
                stream = self.streams[number]
                for message in stream.messages(payload):
                    yield stream, message
            else:
                self._control(kind, flags, number, payload)
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                self.streams[number].ended = True
        del self._incoming[:at]

    def _control(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if number:
                self.streams[number].window += more
            else:
                self.window += more
        elif kind == SETTINGS and not flags & ACK:
            self._set(payload)
        elif kind == PING and not flags & ACK:
            self.socket.sendall(frame(PING, ACK, 0, payload))
        elif kind in (HEADERS, CONTINUATION):
            self._block += payload
            if flags & END_HEADERS:
                self._told(
                    {str(name): str(value) for name, value in self._headers.decode(bytes(self._block))}
                )
                self._block.clear()
        elif kind in (RST_STREAM, GOAWAY):
            raise Failed(f"the server ended the call: frame {kind}, {payload!r}")

    def _set(self, settings: bytes) -> None:
        for at in range(0, len(settings), 6):
            name, value = struct.unpack_from(">HI", settings, at)
            if name == _INITIAL_WINDOW_SIZE:
                for stream in self.streams.values():
                    stream.window += value - self.initial
                self.initial = value
            elif name == _MAX_FRAME_SIZE:
                self.largest = value
        self.socket.sendall(frame(SETTINGS, ACK, 0))
        self._settled = True

    def _told(self, fields: dict[str, str]) -> None:
        """Headers or trailers of a call. Raises Failed if they say that it has failed."""
        if fields.get(":status", "200") != "200" or fields.get("grpc-status", "0") != "0":
            said = {name: fields[name] for name in (":status", *_SAID) if name in fields}
            raise Failed(f"the server ended the call: {said}")
