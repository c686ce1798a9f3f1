"""Frames of HTTP/2, and what may come on a connection besides ordinary calls."""

import hpack

from conexiones.wire.contract import Contract
from conexiones.wire.events import Part
from conexiones.wire.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITISED,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from conexiones.wire.http1 import Http1
from conexiones.wire.http2 import Http2
from tests.wire.made import envelope, frame

OURS = Contract.ours()


def parts(*frames: bytes, sent: bool = True) -> list[Part]:
    """What the frames of one side are decoded to."""
    data = (PREFACE if sent else b"") + b"".join(frames)
    return [part for _, part in Http2(OURS).feed(sent, data)][1 if sent else 0 :]


def test_what_frames_say() -> None:
    found = parts(
        frame(SETTINGS, 1, 0, b""),
        frame(SETTINGS, 0, 0, b"\0\5\0\0\x40\0\xab\xcd\0\0\0\1"),
        frame(PING, 1, 0, bytes(range(8))),
        frame(WINDOW_UPDATE, 0, 1, (1000).to_bytes(4)),
        frame(PRIORITY, 0, 3, b"\x80\0\0\1\x0f"),
        frame(RST_STREAM, 0, 1, (7).to_bytes(4)),
        frame(GOAWAY, 0, 0, (5).to_bytes(4) + (11).to_bytes(4) + b"too_many_pings"),
        frame(0xFE, 0, 1, b"abc"),
    )
    assert [(part.kind, part.flags, dict(part.facts)) for part in found] == [
        ("SETTINGS", ("ACK",), {}),
        ("SETTINGS", (), {"MAX_FRAME_SIZE": 16384, "0xABCD": 1}),
        ("PING", ("ACK",), {"data": "0001020304050607"}),
        ("WINDOW_UPDATE", (), {"increment": 1000}),
        ("PRIORITY", (), {"depends_on": 1, "weight": 16}),
        ("RST_STREAM", (), {"error": "REFUSED_STREAM"}),
        ("GOAWAY", (), {"last_stream": 5, "error": "ENHANCE_YOUR_CALM", "debug": "too_many_pings"}),
        ("FRAME 0xFE", (), {}),
    ]
    assert [part.length for part in found] == [0, 12, 8, 4, 5, 4, 22, 3]


def test_headers_in_several_frames_with_padding_and_priority() -> None:
    encoder = hpack.Encoder()
    block = encoder.encode([(":path", "/user.UsuarioServicio/GetUser"), ("content-type", "application/grpc")])
    message = envelope(b"\x0a\x03Ana")
    first, *_, last, data, found = parts(
        frame(HEADERS, PADDED | PRIORITISED, 1, b"\x02" + bytes(5) + block[:9] + bytes(2)),
        frame(CONTINUATION, 0, 1, block[9:12]),
        frame(CONTINUATION, END_HEADERS, 1, block[12:]),
        frame(DATA, PADDED | END_STREAM, 1, b"\x03" + message + bytes(3)),
    )
    assert (first.kind, first.headers) == ("HEADERS", ())
    assert [header.name for header in last.headers] == [":path", "content-type"]
    assert data.length == len(message) + 4
    assert (found.kind, found.message and found.message.type) == ("MESSAGE", "user.GetUserRequest")


def test_headers_that_build_on_others_and_on_a_larger_table() -> None:
    speaks = Http2(OURS)
    encoder = hpack.Encoder()
    list(speaks.feed(False, frame(SETTINGS, 0, 0, b"\0\1" + (8192).to_bytes(4))))
    encoder.header_table_size = 8192
    large = [("x-large", "a" * 5000)]
    blocks = [encoder.encode(large), encoder.encode(large)]
    assert len(blocks[1]) < 10
    frames = [
        frame(HEADERS, END_HEADERS, number, block) for number, block in zip((1, 3), blocks, strict=True)
    ]
    seen = [part for _, part in speaks.feed(True, PREFACE + b"".join(frames))]
    assert [len(part.headers[0].value) for part in seen[1:]] == [5000, 5000]


def test_a_reply_that_is_only_trailers_and_one_after_an_interim_one() -> None:
    encoder = hpack.Encoder()
    blocks = [[(":status", "103")], [(":status", "200"), ("grpc-status", "5")]]
    found = parts(*(frame(HEADERS, END_HEADERS, 1, encoder.encode(block)) for block in blocks), sent=False)
    assert [part.facts["role"] for part in found] == ["response", "response and trailers"]


def http1(sent: bytes, got: bytes) -> list[tuple[int, str]]:
    speaks = Http1(OURS)
    seen = [*speaks.feed(True, sent), *speaks.feed(False, got), *speaks.end(True), *speaks.end(False)]
    assert [part.problem for _, part in seen if part.problem] == []
    return [(number, part.kind) for number, part in seen]


def test_replies_of_http_1_without_a_body_and_with_all_that_is_left() -> None:
    sent = (
        b"HEAD / HTTP/1.1\r\n\r\n"
        b"DELETE /a HTTP/1.1\r\n\r\n"
        b"POST /b HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab"
    )
    got = (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\n\r\n"
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\n\r\nall that is left"
    )
    assert http1(sent, got) == [
        *((1, "REQUEST"), (2, "REQUEST"), (3, "REQUEST"), (3, "BODY")),
        *((1, "RESPONSE"), (2, "RESPONSE"), (2, "RESPONSE"), (3, "RESPONSE"), (3, "BODY")),
    ]


def test_trailers_of_http_1() -> None:
    speaks = Http1(OURS)
    got = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nGrpc-Status: 14\r\n\r\n"
    seen = [part for _, part in speaks.feed(False, got)]
    assert [part.kind for part in seen] == ["RESPONSE", "CHUNK", "CHUNK", "TRAILERS"]
    assert (seen[-1].headers[0].value, seen[-1].headers[0].note) == ("14", "UNAVAILABLE")
