"""What reads requests: envelopes, compression, protobuf, JSON, timeouts, content types, and HTTP's headers.

The first byte of an input chooses what reads the rest.
"""

import asyncio
import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from conexiones.errors import ConexionesError, InvalidUtf8, MalformedMessage
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.routes import SERVICES
from conexiones.transport.http.conditions import accepts, byte_range, negotiated, none_match
from conexiones.transport.rpc import codecs, payloads
from conexiones.transport.rpc.codecs import JSON, PROTOBUF, Codec
from conexiones.transport.rpc.compression import inflate
from conexiones.transport.rpc.envelopes import Envelopes, Requests, Undecoded, envelope
from conexiones.transport.rpc.payloads import Carried, Payload
from conexiones.transport.rpc.protocols import dialect
from tests.fuzz.target import Check, Target

LIMIT = 1 << 20


def _requests() -> list[type[Message]]:
    pool = descriptor_pool.Default()
    found = {
        method.input_type.full_name: message_factory.GetMessageClass(method.input_type)
        for service in SERVICES
        for method in pool.FindServiceByName(service).methods
    }
    return [found[name] for name in sorted(found)]


REQUESTS = _requests()
DIALECTS = (b"application/grpc", b"application/json", b"application/connect+proto")


def in_format(codec: Codec, data: bytes) -> None:
    """A message is read as a whole, and with its payload carried beside it: both have to be the same."""
    message = REQUESTS[data[0] % len(REQUESTS)]
    payload = Payload.of(message.DESCRIPTOR)
    whole, carried = _read(codec, data[1:], message, None), _read(codec, data[1:], message, payload)
    if isinstance(whole, Message):
        assert not isinstance(carried, str), carried
        for field in message.DESCRIPTOR.fields:
            value, other = getattr(whole, field.name), getattr(carried, field.name)
            assert value == (bytes(other) if isinstance(other, bytearray | memoryview) else other)
        # What was read can be written: a log or a reply may repeat it.
        codec.encode(whole)
    else:
        # Of several faults, another one may be met first.
        assert isinstance(carried, str), carried


def _read(
    codec: Codec, data: bytes, message: type[Message], payload: Payload | None
) -> Message | Carried | str:
    """The message, or the reason for which it cannot be read."""
    try:
        return codec.decode(data, message, payload)
    except (MalformedMessage, InvalidUtf8) as error:
        return f"{error.reason} {error.field}"


def in_envelopes(data: bytes) -> None:
    """The body is fed whole and in pieces, and both have to give the same, or the same error."""
    kind, seed, body = data[0], data[1], data[2:]
    message = GetUserRequest if kind & 1 else GetImage
    requests = Requests.of(message, max_bytes=LIMIT, streaming_method="/a.B/C", pieces=bool(kind & 2))
    codec = JSON if kind & 4 else PROTOBUF

    def read(pieces: Sequence[bytes]) -> tuple[bytes, str]:
        envelopes = Envelopes(requests, codec, compressed=bool(kind & 8))
        out, error = [], ""
        try:
            for piece in pieces:
                envelopes.feed(piece)
                while (found := envelopes.next()) is not None:
                    content: Any = found.data if isinstance(found, Undecoded) else found.image
                    out.append(bytes(content))
            envelopes.end()
        except ConexionesError as raised:
            error = raised.reason
        return b"".join(out), error

    random = Random(seed)
    cuts = sorted(random.choices(range(len(body) + 1), k=seed % 9))
    parts = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    whole, pieces = read([body]), read(parts)
    if kind & 2 and whole[1]:
        # A piece of a message may be given before the fault behind it has come.
        assert whole[1] == pieces[1]
    else:
        assert whole == pieces


async def room() -> None:
    """There is always room here."""


def in_gzip(data: bytes, loop: asyncio.AbstractEventLoop) -> None:
    try:
        found = loop.run_until_complete(inflate(data, LIMIT, room))
    except ConexionesError:
        return
    assert found is None or len(found) <= LIMIT


def in_headers(data: bytes) -> None:
    content_type, _, value = data.partition(b"\n")
    for one in (dialect(content_type), *map(dialect, DIALECTS)):
        if one is None:
            continue
        for name in (b"grpc-timeout", b"connect-timeout-ms", b"connect-protocol-version"):
            try:
                seconds = one.seconds({name: value})
            except ConexionesError:
                continue
            assert seconds is None or 0 <= seconds < 1e12
    text, other = value.decode("latin-1"), content_type.decode("latin-1")
    assert negotiated(text) in ("", "WEBP", "AVIF")
    accepts(text, "gzip")
    none_match(text, '"abc"')
    for size in (0, 1, 1000):
        part = byte_range(text, other, size=size, etag='"abc"')
        assert part is None or (part[0] >= 0 and part[1] <= size)


@contextmanager
def opened() -> Iterator[Check]:
    loop = asyncio.new_event_loop()
    readers = (
        partial(in_format, PROTOBUF),
        partial(in_format, JSON),
        in_envelopes,
        partial(in_gzip, loop=loop),
        in_headers,
    )

    def check(data: bytes) -> None:
        if len(data) >= 3:
            readers[data[0] % len(readers)](data[1:])

    try:
        with pytest.MonkeyPatch.context() as patch:
            # So that payloads of short inputs are large ones.
            patch.setattr(codecs, "LEAST", 16)
            patch.setattr(payloads, "LEAST", 16)
            yield check
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def seeds() -> Sequence[bytes]:
    from tests.transport.rpc.test_codecs import filled

    found = []
    for number, message in enumerate(REQUESTS):
        full = filled(message())
        found.append(bytes((0, number)) + full.SerializeToString())
        found.append(bytes((1, number)) + MessageToJson(full).encode())
    image, user = GetImage(image=b"ab" * 20), GetUserRequest(name="Ana", pow=3, image=b"abc")
    for kind in range(16):
        body = b"".join(
            envelope([one.SerializeToString()]) for one in ((user,) if kind & 1 else (image,) * 3)
        )
        found.append(bytes((2, kind, 5)) + body)
    found += [bytes((3,)) + gzip.compress(bytes(size)) for size in (0, 10, 5000)]
    values = (
        b"application/grpc+proto; a=b\n100m",
        b"application/json\n5000",
        b'"abc"\nbytes=1-5',
        b"\nbytes=-7",
        b"\ngzip;q=0.5, br",
        b"\nimage/avif,image/webp;q=0.9,*/*;q=0.8",
    )
    return [*found, *(bytes((4,)) + value for value in values)]


TARGET = Target(
    name="codecs", seeds=seeds, opened=opened, seconds=0.1, words=(b"\0\0\0\0\x03\x0a\x01x",
    b"\x01\0\0\0\x05", b"\x80\x80\0", b'"image"', b"null", b"[[", b"{", b"1e999", b"\x1f\x8b\x08"),
)  # fmt: skip
