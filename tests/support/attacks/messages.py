"""Messages that cost more than their size, or that come slower than they hold memory."""

import asyncio
import base64
import gzip
import zlib
from functools import partial

from conexiones.gen.conexiones.v1.uploads_pb2 import UploadImagesRequest
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from tests.support.attacks import http1
from tests.support.attacks.link import Link, message, on_link
from tests.support.attacks.target import Connection, Tally, Target, again, many

GET_USER, PROCESS_IMAGE = "/user.UsuarioServicio/GetUser", "/user.UsuarioServicio/ProcessImage"
GET_STREAM_IMAGE, BIDI = "/user.UsuarioServicio/GetStreamImage", "/user.UsuarioServicio/GetUserBidiStream"
IMAGE_STREAM_REPLY = "/user.UsuarioServicio/ImageStreamReply"
WRITE_CHUNK = "/conexiones.v1.UploadService/WriteChunk"

MIB = 1 << 20
LARGEST = 64 * MIB
"""The largest message that the server takes by default."""

JSON = {"content-type": "application/json"}
GZIP = ("grpc-encoding", "gzip")
_MEMBER = gzip.compress(b"", mtime=0)


def bomb(size: int) -> bytes:
    """Zeros, compressed to a thousandth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB)) + packer.flush()


def members(size: int) -> bytes:
    """Empty gzip members behind one that holds a user's name."""
    return gzip.compress(b"{}") + _MEMBER * (size // len(_MEMBER))


# Messages that are compressed


async def gzip_members(target: Target, tally: Tally, *, size: int = 2 * MIB, connections: int = 4) -> None:
    """GetUser as JSON, compressed to empty gzip members."""
    body = members(size)
    await _posts(target, tally, GET_USER, {**JSON, "content-encoding": "gzip"}, body, connections)


async def gzip_members_grpc(target: Target, tally: Tally, *, size: int = 2 * MIB, streams: int = 8) -> None:
    """The same in gRPC, several at a time on one connection."""
    await _calls(target, tally, GET_USER, message(members(size), compressed=True), streams, GZIP)


async def gzip_bomb(target: Target, tally: Tally, *, size: int = LARGEST - MIB, streams: int = 16) -> None:
    """ProcessImage with 63 MiB of zeros, compressed to 62 kB."""
    await _calls(target, tally, PROCESS_IMAGE, message(bomb(size), compressed=True), streams, GZIP)


async def gzip_bomb_json(target: Target, tally: Tally) -> None:
    """The same bytes as JSON, which they are not, over eight connections."""
    body = bomb(LARGEST - MIB)
    await _posts(target, tally, GET_USER, {**JSON, "content-encoding": "gzip"}, body, 8)


# Messages that are long to read


async def json_lists(target: Target, tally: Tally, *, size: int = 60 * MIB, connections: int = 2) -> None:
    """GetUser as JSON with millions of empty lists in a field that does not exist."""
    await _posts(target, tally, GET_USER, JSON, b'{"x":[' + b"[]," * (size // 3) + b"0]}", connections)


async def json_keys(target: Target, tally: Tally, *, size: int = 60 * MIB) -> None:
    """GetUser as JSON with millions of fields."""
    body = b"{" + b",".join(b'"%x":1' % number for number in range(size // 12)) + b"}"
    await _posts(target, tally, GET_USER, JSON, body, 2)


async def json_text(target: Target, tally: Tally, *, size: int = 60 * MIB) -> None:
    """GetUser as JSON with a name of fifteen million emoji."""
    await _posts(target, tally, GET_USER, JSON, b'{"name":"' + "🐘".encode() * (size // 4) + b'"}', 2)


async def json_image(target: Target, tally: Tally, *, size: int = 45 * MIB) -> None:
    """ProcessImage as JSON with 45 MiB in base64 that are no image."""
    await _posts(target, tally, PROCESS_IMAGE, JSON, b'{"image":"' + b"QUJD" * (size // 3) + b'"}', 2)


async def json_small(target: Target, tally: Tally, *, size: int = MIB, connections: int = 8) -> None:
    """GetUser as JSON with as many lists as a small message may have, on eight connections."""
    await _posts(target, tally, GET_USER, JSON, b'{"x":[' + b"[]," * (size // 3) + b"0]}", connections)


async def web_text(target: Target, tally: Tally, *, size: int = 60 * MIB) -> None:
    """ProcessImage over gRPC-Web in base64, 45 MiB that are no image."""
    body = base64.b64encode(message(GetUserRequest(image=bytes(size * 3 // 4)).SerializeToString()))
    headers = {"content-type": "application/grpc-web-text", "accept": "application/grpc-web-text"}
    await _posts(target, tally, PROCESS_IMAGE, headers, body, 2)


async def unknown_fields(target: Target, tally: Tally, *, size: int = 60 * MIB, streams: int = 2) -> None:
    """GetUser with thirty million fields that do not exist."""
    body = GetUserRequest(name="Ana").SerializeToString() + b"\x78\x00" * (size // 2)
    await _calls(target, tally, GET_USER, message(body), streams)


async def nested(target: Target, tally: Tally, *, size: int = 60 * MIB, streams: int = 2) -> None:
    """GetUser with millions of groups within each other."""
    await _calls(target, tally, GET_USER, message(b"\x7b" * size), streams)


async def no_images(target: Target, tally: Tally, *, size: int = 60 * MIB, streams: int = 4) -> None:
    """ProcessImage with 60 MiB that are no image, four at a time."""
    body = message(GetUserRequest(image=bytes(size)).SerializeToString())
    await _calls(target, tally, PROCESS_IMAGE, body, streams)


# Refused messages of a stream


async def refused_in_stream(
    target: Target,
    tally: Tally,
    *,
    path: str = IMAGE_STREAM_REPLY,
    compressed: bool = True,
    count: int = 60,
    size: int = 60 * MIB,
) -> None:
    """Messages of 60 MiB that are no image, on one stream after the other."""
    kind = {IMAGE_STREAM_REPLY: GetImage, BIDI: GetUserRequest}.get(path, UploadImagesRequest)
    plain = kind(image=bytes(size)).SerializeToString()
    sent = message(gzip.compress(plain, 1), compressed=True) if compressed else message(plain)

    async def once() -> None:
        async with await Link.open(target, tally) as link:
            stream = await link.begin(path, *((GZIP,) if compressed else ()))
            for _ in range(count):
                await stream.send(sent)
                tally["messages"] += 1
            await stream.send(b"", end=True)
            await stream.ended

    await again(tally, once)


async def empty_messages(target: Target, tally: Tally, *, path: str = IMAGE_STREAM_REPLY) -> None:
    """Empty messages as fast as they go, on eight streams: each gets a reply that refuses it."""

    async def one(link: Link, _: int) -> None:
        stream, sent = await link.begin(path), message(b"") * 2000
        while not stream.ended.done():
            await stream.send(sent)
            tally["messages"] += 2000
        raise ConnectionResetError

    await on_link(target, tally, 8, one)


async def one_byte_fragments(target: Target, tally: Tally) -> None:
    """Fragments of one byte each as fast as they go, on eight streams of GetStreamImage."""
    head = b"BM\x36\x00\x00\x10\x00\x00\x00\x00\x36\x00\x00\x00"

    async def one(link: Link, _: int) -> None:
        stream = await link.begin(GET_STREAM_IMAGE)
        await stream.send(
            b"".join(message(GetImage(image=bytes((byte,))).SerializeToString()) for byte in head)
        )
        sent = message(GetImage(image=b"\0").SerializeToString()) * 2000
        while not stream.ended.done():
            await stream.send(sent)
            tally["messages"] += 2000
        raise ConnectionResetError

    await on_link(target, tally, 8, one)


# Messages that come slowly


async def trickle(
    target: Target,
    tally: Tally,
    *,
    streams: int = 2,
    connections: int = 1,
    clients: int = 1,
    announced: int = LARGEST - 1024,
    first: int = 0,
    size: int = 1,
    seconds: float = 2.0,
    path: str = PROCESS_IMAGE,
) -> None:
    """Streams that announce a message, send `first` bytes of it, and then `size` every so many seconds.

    `clients` is the number of source addresses; each has `connections`, and each of these has `streams`.
    """

    async def once(number: int) -> None:
        source = target.at(number // connections) if clients > 1 else target
        async with await Link.open(source, tally) as link:
            await many(streams, partial(_dribble, link))

    async def _dribble(link: Link, _: int) -> None:
        while True:
            stream = await link.begin(path)
            await stream.send(b"\0" + announced.to_bytes(4) + bytes(first))
            while not stream.ended.done():
                await stream.send(bytes(size))
                await asyncio.wait([stream.ended], timeout=seconds)

    await many(clients * connections, lambda number: again(tally, partial(once, number)))


async def trickle_http1(
    target: Target,
    tally: Tally,
    *,
    connections: int = 8,
    announced: int = LARGEST - MIB,
    path: str = PROCESS_IMAGE,
) -> None:
    """The same over HTTP/1.1: Connect announces a message and sends a byte every two seconds."""
    head = http1.request(path, {"content-type": "application/proto", "content-length": str(announced)})

    async def once() -> None:
        async with await Connection.open(target) as connection:
            tally["calls"] += 1
            await connection.send(head)
            ended = asyncio.ensure_future(connection.closed())
            while not ended.done():
                await connection.send(b"\n")
                await asyncio.wait([ended], timeout=2)
            raise ConnectionResetError

    await many(connections, lambda _: again(tally, once))


# What the attacks above have in common


async def _posts(
    target: Target, tally: Tally, path: str, headers: dict[str, str], body: bytes, connections: int
) -> None:
    sent = http1.request(path, headers, body)

    async def once() -> None:
        async with await Connection.open(target) as connection:
            while True:
                await http1.ask(connection, tally, sent)

    await many(connections, lambda _: again(tally, once))


async def _calls(
    target: Target, tally: Tally, path: str, sent: bytes, streams: int, *headers: tuple[str, str]
) -> None:
    async def one(link: Link, _: int) -> None:
        while True:
            await link.call(path, sent, *headers)

    await on_link(target, tally, streams, one)
