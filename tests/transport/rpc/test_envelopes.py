"""Messages cut out of a stream's body: the same as protobuf reads them, however the bytes come."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from conexiones import errors
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.transport.rpc.codecs import PROTOBUF
from conexiones.transport.rpc.envelopes import Envelopes, Requests, envelope

LIMIT = 1 << 20


def framed(body: bytes, flags: int = 0) -> bytes:
    return envelope([body], flags)


def envelopes(message: type[Any], *, pieces: bool) -> Envelopes:
    requests = Requests.of(message, max_bytes=LIMIT, streaming_method="/a.B/C", pieces=pieces)
    return Envelopes(requests, PROTOBUF, compressed=False)


def messages(body: bytes, chunks: random.Random, message: type[Any], *, pieces: bool) -> Iterator[Any]:
    """What comes out, the body fed in pieces of any length, empty ones too."""
    frames = envelopes(message, pieces=pieces)
    at = 0
    while at < len(body):
        size = chunks.choice([0, 1, 2, 3, 7, 100, 5000, 70_000, 300_000])
        frames.feed(body[at : at + size])
        at += size
        while (found := frames.next()) is not None:
            yield found
    frames.end()


def encodings(rng: random.Random) -> list[bytes]:
    """Bodies of GetImage, most as any client sends them, some as only protobuf allows."""
    sizes = [0, 1, 126, 127, 128, 129, 1000, 4096, 16_383, 16_384, 65_536, 200_000]
    found = []
    for _ in range(rng.randrange(1, 60)):
        data = rng.randbytes(rng.choice(sizes[:8] if rng.random() < 0.8 else sizes))
        plain = GetImage(image=data).SerializeToString()
        odd = [
            b"",
            b"\x0a\x80\x00",  # an empty field, its length in two bytes
            b"\x0a\x01x" + plain,  # twice: the last counts
            plain + b"\x7a\x03abc",  # a field that is not known
            b"\x7a\x03abc" + plain,
            b"\x0a\x83\x80\x00abc",  # a length in more bytes than it needs
        ]
        found.append(rng.choice(odd) if rng.random() < 0.2 else plain)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_whole_messages_are_what_protobuf_reads(seed: int) -> None:
    rng = random.Random(seed)
    bodies = encodings(rng)
    found = messages(b"".join(map(framed, bodies)), rng, GetImage, pieces=False)
    assert [message.image for message in found] == [GetImage.FromString(body).image for body in bodies]


@pytest.mark.parametrize("seed", range(60))
def test_pieces_make_up_what_protobuf_reads(seed: int) -> None:
    rng = random.Random(seed)
    bodies = encodings(rng)
    pieces = list(messages(b"".join(map(framed, bodies)), rng, GetImage, pieces=True))
    expected = [GetImage.FromString(body).image for body in bodies]
    assert b"".join(piece.image for piece in pieces) == b"".join(expected)


def test_short_messages_come_together_and_long_ones_in_parts() -> None:
    frames = envelopes(GetImage, pieces=True)
    frames.feed(framed(GetImage(image=b"1234").SerializeToString()) * 100)
    assert len(list(iter(frames.next, None))) < 10
    long = framed(GetImage(image=bytes(500_000)).SerializeToString())
    frames.feed(long[:100_000])
    assert len(frames.next().image) > 99_000, "before the rest has come"


def test_other_messages_are_protobuf_s() -> None:
    bodies = [GetUserRequest(name="Ana", pow=i, image=bytes(i)).SerializeToString() for i in range(300)]
    found = messages(b"".join(map(framed, bodies)), random.Random(1), GetUserRequest, pieces=True)
    assert list(found) == [GetUserRequest.FromString(body) for body in bodies]


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (framed(b"\x0a\x01x", flags=1), errors.UndeclaredCompression),
        (framed(b"\x0a\x01x", flags=2), errors.MalformedRequest),
        (framed(b"\x0a\x01x") * 3 + framed(b"\x0a\x01x", flags=1), errors.UndeclaredCompression),
        (framed(b"\x0a\x05x"), errors.MalformedMessage),
        (framed(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), errors.MalformedMessage),
        (framed(b"\x0b"), errors.MalformedMessage),
        (framed(b"\x0a\x01x")[:-1], errors.MalformedRequest),
        (framed(b"\x0a\x01x")[:3], errors.MalformedRequest),
        (framed(GetImage(image=bytes(70_000)).SerializeToString())[:-1], errors.MalformedRequest),
        (b"\0" + (LIMIT + 1).to_bytes(4) + bytes(10), errors.MessageTooLarge),
        (b"\0\xff\xff\xff\xff", errors.MessageTooLarge),
    ],
)
def test_what_is_wrong_is_said(body: bytes, error: type[Exception], pieces: bool) -> None:
    for seed in range(5):
        with pytest.raises(error):
            list(messages(body, random.Random(seed), GetImage, pieces=pieces))


@pytest.mark.parametrize(
    ("size", "flags", "error"),
    [(LIMIT, 0, errors.MessageTooLarge), (LIMIT - 8, 1, errors.UndeclaredCompression)],
    ids=["over the limit", "compressed"],
)
def test_what_is_wrong_with_a_long_message_that_came_whole_is_said(
    size: int, flags: int, error: type[Exception]
) -> None:
    long = GetImage(image=bytes(LIMIT - 8)).SerializeToString()
    frames = envelopes(GetImage, pieces=True)
    frames.feed(framed(long) + framed(GetImage(image=bytes(size)).SerializeToString(), flags))
    assert len(frames.next().image) == LIMIT - 8
    with pytest.raises(error):
        frames.next()


def test_who_waits_holds_nothing_of_what_came() -> None:
    frames = envelopes(GetImage, pieces=True)
    data = bytearray(framed(GetImage(image=bytes(1000)).SerializeToString()))
    frames.feed(data)
    while frames.next() is not None:
        pass
    data.clear()  # BufferError as long as somebody has a view of it
    assert (frames.gathering, frames.missing, frames.within) == (0, 0, False)
