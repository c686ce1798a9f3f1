"""The frames of HTTP/2 (RFC 9113) by themselves: their types, flags and content."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from conexiones.wire.events import Part

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
MAX_FRAME_BYTES = 1 << 20
"""Frames of our server have 256 KiB at most. Of a larger one, nothing but its head is shown."""
_MAX_DEBUG = 200
_MAX_SETTINGS = 32

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
_TYPES = (
    "DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
    "WINDOW_UPDATE", "CONTINUATION",
)  # fmt: skip

END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITISED = 0x4, 0x8, 0x20
_FLAGS: dict[int, dict[int, str]] = {
    DATA: {END_STREAM: "END_STREAM", PADDED: "PADDED"},
    HEADERS: {
        END_STREAM: "END_STREAM",
        END_HEADERS: "END_HEADERS",
        PADDED: "PADDED",
        PRIORITISED: "PRIORITY",
    },
    PUSH_PROMISE: {END_HEADERS: "END_HEADERS", PADDED: "PADDED"},
    CONTINUATION: {END_HEADERS: "END_HEADERS"},
    SETTINGS: {ACK: "ACK"},
    PING: {ACK: "ACK"},
}
HEADER_TABLE_SIZE = "HEADER_TABLE_SIZE"
_SETTINGS = {
    1: HEADER_TABLE_SIZE,
    2: "ENABLE_PUSH",
    3: "MAX_CONCURRENT_STREAMS",
    4: "INITIAL_WINDOW_SIZE",
    5: "MAX_FRAME_SIZE",
    6: "MAX_HEADER_LIST_SIZE",
    8: "ENABLE_CONNECT_PROTOCOL",
    9: "NO_RFC7540_PRIORITIES",
    # gRPC's own.
    0xFE03: "GRPC_ALLOW_TRUE_BINARY_METADATA",
    0xFE04: "GRPC_PREFERRED_RECEIVE_FRAME_SIZE",
}
_ERRORS = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip

Facts = dict[str, int | str | bool]


class Fault(Exception):
    """What is wrong with a frame; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Frame:
    """`length` is that of the content, which is empty if the frame is too large to be shown."""

    kind: int
    flags: int
    stream: int
    length: int
    content: bytes

    def part(self, facts: Facts | None = None, problem: str = "") -> Part:
        names = _FLAGS.get(self.kind, {})
        flags = tuple(name for bit, name in names.items() if self.flags & bit)
        kind = _TYPES[self.kind] if self.kind < len(_TYPES) else f"FRAME 0x{self.kind:02X}"
        return Part(kind=kind, length=self.length, flags=flags, facts=facts or {}, problem=problem)

    @property
    def too_large(self) -> bool:
        return self.length > len(self.content)

    def unpadded(self) -> bytes:
        """The content without its padding. Raises Fault."""
        if not self.flags & PADDED:
            return self.content
        if not self.content or self.content[0] >= len(self.content):
            raise Fault("Its padding is longer than the frame.")
        return self.content[1 : len(self.content) - self.content[0]]

    def facts(self) -> Facts:
        """What the content of a frame says that is neither data nor headers. Raises Fault."""
        return _READ[self.kind](self.content) if self.kind in _READ else {}


class Frames:
    """Cuts what one side sends into frames, as it comes."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._skips = 0
        """Bytes still to come of a frame that is too large."""

    def __bool__(self) -> bool:
        """Whether there is the beginning of a frame that is not whole."""
        return bool(self._data or self._skips)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole with these bytes. It has to be read to its end."""
        skipped = min(self._skips, len(data))
        self._skips -= skipped
        self._data += data[skipped:]
        at = 0
        while len(self._data) - at >= HEAD_BYTES:
            head = self._data[at : at + HEAD_BYTES]
            length = int.from_bytes(head[:3])
            there = len(self._data) - at - HEAD_BYTES
            if there < length <= MAX_FRAME_BYTES:
                break
            content = b""
            if length <= MAX_FRAME_BYTES:
                content = bytes(self._data[at + HEAD_BYTES : at + HEAD_BYTES + length])
            else:
                self._skips = max(length - there, 0)
            yield Frame(head[3], head[4], int.from_bytes(head[5:]) & 0x7FFFFFFF, length, content)
            at += HEAD_BYTES + length - self._skips
        del self._data[:at]


def _error(content: bytes) -> str:
    code = int.from_bytes(content)
    return _ERRORS[code] if code < len(_ERRORS) else f"0x{code:X}"


def _sized(content: bytes, size: int) -> bytes:
    if len(content) != size:
        raise Fault(f"It has {len(content)} bytes, where there are {size}.")
    return content


def _priority(content: bytes) -> Facts:
    depends = int.from_bytes(_sized(content, 5)[:4])
    return {"depends_on": depends & 0x7FFFFFFF, "weight": content[4] + 1}


def _settings(content: bytes) -> Facts:
    if len(content) % 6:
        raise Fault(f"It has {len(content)} bytes, and each setting has 6.")
    facts: Facts = {}
    for at in range(0, min(len(content), 6 * _MAX_SETTINGS), 6):
        number = int.from_bytes(content[at : at + 2])
        facts[_SETTINGS.get(number, f"0x{number:04X}")] = int.from_bytes(content[at + 2 : at + 6])
    return facts


def _goaway(content: bytes) -> Facts:
    if len(content) < 8:
        raise Fault(f"It has {len(content)} bytes, and at least 8 are needed.")
    facts: Facts = {"last_stream": int.from_bytes(content[:4]) & 0x7FFFFFFF, "error": _error(content[4:8])}
    if debug := content[8 : 8 + _MAX_DEBUG].decode(errors="replace"):
        facts["debug"] = debug
    return facts


_READ: dict[int, Callable[[bytes], Facts]] = {
    PRIORITY: _priority,
    RST_STREAM: lambda content: {"error": _error(_sized(content, 4))},
    SETTINGS: _settings,
    PING: lambda content: {"data": _sized(content, 8).hex()},
    GOAWAY: _goaway,
    WINDOW_UPDATE: lambda content: {"increment": int.from_bytes(_sized(content, 4)) & 0x7FFFFFFF},
}
