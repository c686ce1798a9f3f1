"""Bytes from strangers: they are decoded within the limits, or it is said what is wrong with them."""

import gzip
import json
import tracemalloc
from contextlib import suppress
from itertools import pairwise

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.wire.contract import Contract
from conexiones.wire.decode import PROTOCOLS, decoded, guessed
from conexiones.wire.events import (
    KEPT_BYTES,
    MAX_FIELDS,
    MAX_HEADER_BYTES,
    MAX_TEXT,
    Part,
    Undecodable,
    problem_of,
)
from conexiones.wire.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    MAX_FRAME_BYTES,
    PREFACE,
    SETTINGS,
)
from conexiones.wire.http1 import Http1
from conexiones.wire.http2 import Http2
from conexiones.wire.json_lines import part_object
from conexiones.wire.text import Timeline
from conexiones.wire.typed import ENCODINGS, data_of
from tests.wire.made import envelope, frame, request

OURS = Contract.ours()
ANA = GetUserRequest(name="Ana", pow=7, image=bytes(40)).SerializeToString()
CALL = request([ANA, ANA])
HTTP1 = (
    b"POST /user.UsuarioServicio/GetUser HTTP/1.1\r\ncontent-type: application/grpc-web+proto\r\n"
    b"transfer-encoding: chunked\r\n\r\n2f\r\n" + envelope(ANA)[:47] + b"\r\n0\r\n\r\n"
)


def shown(data: bytes, protocol: str) -> list[Part]:
    """Decodes the bytes, and writes what is found in both forms."""
    parts = list(decoded(data, protocol, OURS, OURS.message("GetUserRequest")))
    timeline = Timeline()
    for stream, part in parts:
        json.dumps(part_object(part), allow_nan=False)
        for line in timeline.part(part, stream):
            assert "\x1b" not in line
            assert len(line) < 200
    return [part for _, part in parts]


def problems(data: bytes, protocol: str) -> list[str]:
    return [problem for part in shown(data, protocol) if (problem := problem_of(part))]


@given(st.binary(min_size=1, max_size=300), st.sampled_from(sorted(PROTOCOLS)))
def test_any_bytes_as_anything(data: bytes, protocol: str) -> None:
    shown(data, protocol)
    shown(data, guessed(data))


@given(st.data())
def test_calls_with_some_bytes_changed(data: st.DataObject) -> None:
    protocol, whole = data.draw(st.sampled_from([("http2", CALL), ("http1", HTTP1)]))
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(changed)))
    shown(bytes(changed[:cut]), protocol)


@given(st.lists(st.integers(1, len(CALL) - 1), max_size=6))
def test_how_bytes_are_cut_makes_no_difference(cuts: list[int]) -> None:
    speaks = Http2(OURS)
    places = [0, *sorted(set(cuts)), len(CALL)]
    parts = [part for begin, end in pairwise(places) for part in speaks.feed(True, CALL[begin:end])]
    assert [*parts, *speaks.end(True)] == list(decoded(CALL, "http2", OURS))


@given(st.lists(st.integers(1, len(HTTP1) - 1), max_size=6))
def test_how_the_bytes_of_http_1_are_cut_makes_no_difference(cuts: list[int]) -> None:
    speaks = Http1(OURS)
    places = [0, *sorted(set(cuts)), len(HTTP1)]
    parts = [part for begin, end in pairwise(places) for part in speaks.feed(True, HTTP1[begin:end])]
    assert [*parts, *speaks.end(True)] == list(decoded(HTTP1, "http1", OURS))


@given(st.binary(max_size=60), st.sampled_from(ENCODINGS), st.booleans())
def test_whatever_is_typed(data: bytes, encoding: str, typed: bool) -> None:
    with suppress(Undecodable):
        data_of(data, encoding, typed=typed)


def headers(*pairs: tuple[str, str]) -> bytes:
    return hpack.Encoder().encode(pairs)


@pytest.mark.parametrize(
    ("protocol", "data", "says"),
    [
        ("grpc", b"\0\0\0", "The body ends within a prefix, after 3 of 5 bytes."),
        (
            "grpc",
            envelope(ANA)[:-1],
            f"The body ends within a message, after {len(ANA) - 1} of {len(ANA)} bytes.",
        ),
        ("grpc", b"\x40\0\0\0\0", "The prefix 40 00 00 00 00 has flags that there are not."),
        ("grpc", b"\0\xff\xff\xff\xff1", "The body ends within a message, after 1 of 4294967295 bytes."),
        ("grpc", envelope(b"no gzip", 1), "It is compressed with 'identity', which is not decoded here."),
        ("grpc", envelope(gzip.compress(ANA, mtime=0)[:-9], 1), "The gzip in it is not whole."),
        ("grpc", envelope(b"\x1f\x8b....", 1), "It is said to be compressed with gzip, and is not."),
        (
            "grpc",
            envelope(gzip.compress(bytes(10 * KEPT_BYTES), mtime=0), 1),
            f"It has more than {KEPT_BYTES} bytes without its compression, which are not shown.",
        ),
        ("http2", PREFACE[:10], "The bytes end within a frame."),
        ("http2", PREFACE + b"\0\0\1", "The bytes end within a frame."),
        ("http2", PREFACE + frame(SETTINGS, 0, 0, b"12345"), "It has 5 bytes, and each setting has 6."),
        ("http2", PREFACE + frame(6, 0, 0, b"1"), "It has 1 bytes, where there are 8."),
        ("http2", PREFACE + frame(7, 0, 0, b"1"), "It has 1 bytes, and at least 8 are needed."),
        ("http2", PREFACE + frame(DATA, 8, 1, b"\x05abc"), "Its padding is longer than the frame."),
        ("http2", PREFACE + frame(HEADERS, 4, 1, b"\xff\xff\xff\xff\xff\xff"), "Its headers are not HPACK."),
        (
            "http2",
            PREFACE + frame(HEADERS, 4, 1, b"\xbf"),
            "Its headers refer to others, which came before these bytes.",
        ),
        (
            "http2",
            PREFACE + frame(HEADERS, 4, 1, headers(("a", "b" * 4000)) + b"\xbe" * 20),
            f"The headers have more than {MAX_HEADER_BYTES} bytes.",
        ),
        (
            "http2",
            PREFACE + frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, bytes(MAX_HEADER_BYTES)) * 3,
            f"The headers have more than {MAX_HEADER_BYTES} bytes.",
        ),
        ("http2", PREFACE + frame(DATA, 0, 1, bytes(MAX_FRAME_BYTES + 1)), "It is too large to be shown."),
        ("http1", b"NONSENSE\r\n\r\n", "This is not a reply of HTTP/1.1."),
        (
            "http1",
            b"HTTP/1.1 200 OK\r\n" + bytes(2 * MAX_HEADER_BYTES),
            f"The headers have more than {MAX_HEADER_BYTES} bytes.",
        ),
        ("http1", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "Its content-length is no number."),
        (
            "http1",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "The length of a chunk is none.",
        ),
        (
            "http1",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
            "A chunk is longer than it says.",
        ),
        (
            "http1",
            b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n1",
            "The connection ends within a body, or within headers.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(protocol: str, data: bytes, says: str) -> None:
    assert problems(data, protocol)[0] == says


def test_after_headers_that_cannot_be_read_no_others_are_guessed() -> None:
    block = headers((":method", "POST"), ("x-own", "1"))
    data = PREFACE + frame(HEADERS, END_HEADERS, 1, b"\xbf") + frame(HEADERS, END_HEADERS, 3, block)
    assert problems(data, "http2")[1] == "Its headers build on others that could not be read."
    assert [part.kind for part in shown(data, "http2")] == ["PREFACE", "HEADERS", "HEADERS"]


def test_what_is_kept_of_large_and_of_many_things_is_bounded() -> None:
    large = shown(envelope(b"\x1a\xff\xff\xff\x07" + bytes((16 << 20) - 1)), "grpc")
    assert [part.kind for part in large] == ["MESSAGE"]
    assert len(json.dumps(part_object(large[0]))) < 1_000
    fields = shown(envelope(b"\x10\x07" * (4 << 20)), "grpc")
    assert len(json.dumps(part_object(fields[0]))) < 200 * MAX_FIELDS
    # Of each part it may be a text, bytes, or a message of such parts.
    nested = b"\x0a\x7e" + b"\x0a\x7c" + b"\x08\x01" * 62
    guesses = list(decoded(nested * 40_000, "protobuf", OURS))
    assert len(json.dumps(part_object(guesses[0][1]))) < 500 * MAX_FIELDS
    text = shown(b'{"name": "' + b"a" * (1 << 20) + b'"}', "connect")
    assert text[0].message is not None
    assert len(text[0].message.text) == MAX_TEXT + 1


def test_what_acts_on_a_terminal_is_shown_as_an_escape() -> None:
    data = GetUserRequest(name="\x1b[2J\u202eAna\r").SerializeToString()
    (part,) = shown(data, "protobuf")
    lines = list(Timeline().part(part, 0))
    assert any('"\\x1b[2J\\u202eAna\\r"' in line for line in lines)


@pytest.mark.parametrize(
    "told",
    [
        *("[]", "1", '{"error": 1}', '{"details": 1}', "[" * 100_000, '{"a":' * 20_000),
        '{"details": [1, {}, {"type": 1, "value": "\u00e9"}]}',
        '{"error": {"details": [{"type": "\\ud800", "value": "AA"}]}}',
    ],
)
def test_details_that_are_none(told: str) -> None:
    for data in (envelope(told.encode(), 2), envelope(ANA) + envelope(told.encode(), 2)):
        assert [part.details for part in shown(data, "connect") if part.kind == "END"] == [()]


def test_many_small_messages_are_not_all_in_memory_at_once() -> None:
    data = envelope(b"") * 100_000
    tracemalloc.start()
    try:
        assert sum(part.kind == "MESSAGE" for _, part in decoded(data, "grpc", OURS)) == 100_000
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 50 << 20
