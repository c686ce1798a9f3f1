"""What decodes the wire for people: bytes as they are typed, and bodies, frames and messages of any protocol.

The first byte of an input chooses how the rest is taken.
"""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from conexiones.gen.user_pb2 import GetUserReply, GetUserRequest
from conexiones.wire.contract import Contract
from conexiones.wire.decode import PROTOCOLS, decoded, guessed
from conexiones.wire.events import Undecodable
from conexiones.wire.http1 import Http1
from conexiones.wire.http2 import Http2
from conexiones.wire.json_lines import part_object
from conexiones.wire.text import Timeline
from conexiones.wire.typed import data_of
from tests.fuzz.target import Check, Target
from tests.wire.made import envelope, request

OURS = Contract.ours()
NAMES = sorted(PROTOCOLS)
MOST_SHOWN = 1 << 20
"""Characters that one input may make be shown."""


def whole(data: bytes, protocol: str) -> None:
    """It is decoded, and shown in both forms, within bounds."""
    timeline = Timeline()
    shown = 0
    for stream, part in decoded(data, protocol, OURS, OURS.message("GetUserReply")):
        shown += len(json.dumps(part_object(part), allow_nan=False))
        for line in timeline.part(part, stream):
            assert "\x1b" not in line
    assert shown < MOST_SHOWN + 500 * len(data)


def in_pieces(data: bytes, speaks: Callable[[Contract], Http1 | Http2]) -> None:
    """Whatever both sides send, and however it is cut."""
    made = speaks(OURS)
    sent = True
    while data:
        size = data[0] + 1
        list(made.feed(sent, data[1 : 1 + size]))
        data = data[1 + size :]
        sent = not sent
    for side in (True, False):
        list(made.end(side))


def check(data: bytes) -> None:
    if not data[1:]:
        return
    kind, rest = data[0] % (len(NAMES) + 4), data[1:]
    if kind < len(NAMES):
        whole(rest, NAMES[kind])
    elif kind == len(NAMES):
        whole(rest, guessed(rest))
    elif kind == len(NAMES) + 1:
        with suppress(Undecodable):
            data_of(rest)
    else:
        in_pieces(rest, Http1 if kind == len(NAMES) + 2 else Http2)


@contextmanager
def opened() -> Iterator[Check]:
    yield check


def seeds() -> Sequence[bytes]:
    ana = GetUserRequest(name="Ana", pow=-7, image=b"abc").SerializeToString()
    reply = GetUserReply(message="¡Hola!")
    reply.user.create_time.GetCurrentTime()
    reply.image_info.sha256 = bytes(32)
    call = request([ana, ana], **{"grpc-timeout": "1S"})
    http1 = b"POST /user.UsuarioServicio/GetUser HTTP/1.1\r\ncontent-type: application/grpc-web+proto\r\n"
    chunked = http1 + b"transfer-encoding: chunked\r\n\r\n5\r\n\0\0\0\0\0\r\n0\r\n\r\n"
    bodies = {
        "protobuf": reply.SerializeToString(),
        "grpc": envelope(ana) * 2,
        "grpc-web": envelope(ana) + envelope(b"grpc-status: 0\r\n", 0x80),
        "connect": envelope(b'{"name":"Ana"}') + envelope(b"{}", 2),
        "http2": call,
        "http1": chunked,
    }
    found = [bytes([NAMES.index(name)]) + body for name, body in bodies.items()]
    guesses = [bytes([len(NAMES)]) + body for body in bodies.values()]
    texts = (
        ana.hex(" ").encode(),
        base64.b64encode(ana),
        b"00000000: 0a03 416e  .An",
        b"00000000  0a 03  |..|",
    )
    typed = [bytes([len(NAMES) + 1]) + text for text in texts]
    pieces = [bytes([len(NAMES) + 2, 255]) + chunked, bytes([len(NAMES) + 3, 200]) + call]
    return [*found, *guesses, *typed, *pieces]


WORDS = (
    *(b"\x0a\x03Ana", b"\x0b", b"\x0c", b"\x52\x7f", b"\0\0\0\0\x05", b"\x80\0\0\0\x10", b"\x1f\x8b\x08"),
    *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\xbe", b"\x3f\xe1\x1f", b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n"),
    *(b"content-length: ", b"application/grpc", b"grpc-status-details-bin", b"cnx_", b"eyJ", b"=="),
)
TARGET = Target(name="wire", seeds=seeds, opened=opened, seconds=0.5, words=WORDS)
