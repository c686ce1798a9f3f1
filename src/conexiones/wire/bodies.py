"""The messages in the body of a request or of a reply: gRPC, gRPC-Web, Connect; protobuf and JSON."""

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from google.protobuf.descriptor import Descriptor

from conexiones.wire.contract import Contract
from conexiones.wire.details import of_connect, of_trailers
from conexiones.wire.events import KEPT_BYTES, MAX_HEADER_BYTES, MAX_TEXT, Header, Message, Part
from conexiones.wire.headers import noted
from conexiones.wire.protobuf import Reader
from conexiones.wire.redaction import shown, without

PREFIX_BYTES = 5
COMPRESSED, CONNECT_END, WEB_TRAILERS = 0x01, 0x02, 0x80
_FLAGS = {COMPRESSED: "COMPRESSED", CONNECT_END: "END_STREAM", WEB_TRAILERS: "TRAILERS"}
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How the bytes of a body are to be read.

    framed: messages have a prefix of flags and length; otherwise the body is one message.
    text: base64, as browsers of old take it.
    json: the messages are JSON.
    error: the body is an error of Connect.
    encoding: the compression of what is compressed.
    """

    framed: bool = True
    text: bool = False
    json: bool = False
    error: bool = False
    encoding: str = "identity"


_CONTENT_TYPE = re.compile(r"application/(grpc-web-text|grpc-web|grpc|connect)(?:\+(proto|json))?$")


def form_of(headers: dict[str, str], *, failed: bool = False) -> Form | None:
    """The form of a body with these headers; None if it is of none of the protocols. `failed`: the status
    says that the body is an error."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type in {"application/proto", "application/json"}:
        encoding = headers.get("content-encoding", "identity").lower()
        is_json = content_type == "application/json"
        return Form(framed=False, json=is_json, error=failed and is_json, encoding=encoding)
    if found := _CONTENT_TYPE.match(content_type):
        protocol, codec = found.groups()
        name = "connect-content-encoding" if protocol == "connect" else "grpc-encoding"
        encoding = headers.get(name, "identity").lower()
        return Form(text=protocol == "grpc-web-text", json=codec == "json", encoding=encoding)
    return None


@dataclass(slots=True)
class _Open:
    """A message that is not whole yet. `head`: what is kept of it."""

    flags: int = 0
    length: int = 0
    prefix: bytes = b""
    head: bytearray = field(default_factory=bytearray)
    passed: int = 0


class Body:
    """Reads one body as its bytes come. All methods give the parts that are whole with these bytes."""

    def __init__(self, form: Form, kind: Descriptor | None, contract: Contract) -> None:
        self._form = form
        self._kind = kind
        self._contract = contract
        self._reader = Reader(contract)
        self._open = _Open()
        self._begin = bytearray()
        """The beginning of a prefix."""
        self._base64 = b""
        self._count = 0
        self._broken = False

    def feed(self, data: bytes | memoryview) -> list[Part]:
        if self._broken:
            return []
        if self._form.text:
            data, problem = self._decoded(bytes(data))
        else:
            problem = ""
        if self._form.framed:
            parts = list(self._messages(memoryview(data)))
        else:
            parts = []
            self._gather(memoryview(data), len(data))
        if problem:
            parts.append(self._break(problem))
        return parts

    def end(self) -> list[Part]:
        """The body has ended."""
        if self._broken:
            return []
        if not self._form.framed:
            return self._whole()
        if self._base64:
            return [self._break("The base64 of the body ends within a group of four.")]
        if self._begin and not self._open.prefix:
            return [
                self._break(
                    f"The body ends within a prefix, after {len(self._begin)} of {PREFIX_BYTES} bytes."
                )
            ]
        if self._open.prefix:
            length, passed = self._open.length, self._open.passed
            return [self._break(f"The body ends within a message, after {passed} of {length} bytes.")]
        return []

    def _break(self, problem: str) -> Part:
        self._broken = True
        self._open, self._begin = _Open(), bytearray()
        return Part(kind="BROKEN", problem=problem)

    def _decoded(self, data: bytes) -> tuple[bytes, str]:
        """The bytes of base64, of which each piece may have its own padding."""
        text = self._base64 + data.translate(None, b"\r\n")
        whole = len(text) // 4 * 4
        self._base64 = text[whole:]
        try:
            pieces = re.findall(rb"[^=]+=*|=+", text[:whole])
            return b"".join(base64.b64decode(piece, validate=True) for piece in pieces), ""
        except binascii.Error:
            return b"", "The body is not base64."

    def _messages(self, view: memoryview) -> Iterator[Part]:
        while len(view):
            if not self._open.prefix:
                taken = PREFIX_BYTES - len(self._begin)
                self._begin += view[:taken]
                view = view[taken:]
                if len(self._begin) < PREFIX_BYTES:
                    return
                prefix = bytes(self._begin)
                self._open = _Open(prefix[0], int.from_bytes(prefix[1:]), prefix)
                if self._open.flags & ~(COMPRESSED | CONNECT_END | WEB_TRAILERS):
                    yield self._break(f"The prefix {prefix.hex(' ')} has flags that there are not.")
                    return
            view = view[self._gather(view, self._open.length) :]
            if self._open.passed == self._open.length:
                yield self._framed()

    def _gather(self, view: memoryview, length: int) -> int:
        """Takes the bytes that belong to the open message, and gives how many these are."""
        one = self._open
        taken = min(len(view), length - one.passed) if self._form.framed else len(view)
        one.head += view[: min(taken, KEPT_BYTES - len(one.head))]
        one.passed += taken
        return taken

    def _framed(self) -> Part:
        """The message that has become whole."""
        one, self._open, self._begin = self._open, _Open(), bytearray()
        flags = tuple(name for bit, name in _FLAGS.items() if one.flags & bit)
        facts: dict[str, int | str | bool] = {
            "prefix": one.prefix.hex(),
            "compressed": bool(one.flags & COMPRESSED),
        }
        data, total, problem = bytes(one.head), one.length, ""
        if one.flags & COMPRESSED:
            data, total, problem = self._decompressed(data, one.length)
        if one.flags & (CONNECT_END | WEB_TRAILERS):
            part = self._end(one.flags, data)
            return replace(part, length=one.length, flags=flags, facts=facts, problem=problem)
        self._count += 1
        facts["number"] = self._count
        message = None if problem else self._message(data, total)
        return Part(
            kind="MESSAGE", length=one.length, flags=flags, facts=facts, message=message, problem=problem
        )

    def _end(self, flags: int, data: bytes) -> Part:
        """How a stream ends: for Connect in JSON, for gRPC-Web in lines of headers."""
        if flags & CONNECT_END:
            return Part(kind="END", message=_json(data), details=of_connect(data, self._contract))
        headers = _trailers(data)
        return Part(kind="END", headers=headers, message=of_trailers(headers, self._contract))

    def _whole(self) -> list[Part]:
        """The message that is the whole body."""
        one = self._open
        if not one.passed and self._form.json:
            return []
        data, total, problem = bytes(one.head), one.passed, ""
        compressed = self._form.encoding != "identity"
        facts: dict[str, int | str | bool] = {"compressed": compressed}
        if compressed:
            data, total, problem = self._decompressed(data, total)
        if self._form.error:
            part = self._end(CONNECT_END, data)
            return [replace(part, length=one.passed, facts=facts, problem=problem)]
        message = None if problem else self._message(data, total)
        return [Part(kind="MESSAGE", length=one.passed, facts=facts, message=message, problem=problem)]

    def _message(self, data: bytes, total: int) -> Message:
        name = self._kind.full_name if self._kind else ""
        if self._form.json:
            text = _json(data).text
            return Message(type=name, text=text)
        return Message(type=name, fields=self._reader.read(data, self._kind, total))

    def _decompressed(self, data: bytes, length: int) -> tuple[bytes, int, str]:
        """The bytes without their compression, how many there are, and what is wrong."""
        encoding = self._form.encoding
        if encoding == "identity" and data.startswith(b"\x1f\x8b"):
            encoding = "gzip"  # no header says so where there are only bytes
        if encoding not in {"gzip", "deflate"}:
            return b"", 0, f"It is compressed with {encoding[:40]!r}, which is not decoded here."
        unzip = zlib.decompressobj(_GZIP if encoding == "gzip" else zlib.MAX_WBITS)
        try:
            found = unzip.decompress(data, KEPT_BYTES)
        except zlib.error:
            return b"", 0, f"It is said to be compressed with {encoding}, and is not."
        if not unzip.eof:
            if length > len(data) or unzip.unconsumed_tail:
                return (
                    b"",
                    0,
                    f"It has more than {KEPT_BYTES} bytes without its compression, which are not shown.",
                )
            return b"", 0, f"The {encoding} in it is not whole."
        return found, len(found), ""


def _json(data: bytes) -> Message:
    """JSON as it was sent, without secrets."""
    text = without(data[: 4 * MAX_TEXT].decode(errors="replace"))
    return Message(text=text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…")


def _trailers(data: bytes) -> tuple[Header, ...]:
    """The lines of gRPC-Web's trailers."""
    lines = data[:MAX_HEADER_BYTES].decode("utf-8", errors="replace").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return tuple(shown(noted(name.strip(), value.strip())) for name, _, value in pairs)
