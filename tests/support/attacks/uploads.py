"""Uploads that hold room and give nothing, and small writes without end."""

import asyncio
import base64
import itertools
import json
from functools import partial
from uuid import uuid4

from conexiones.gen.conexiones.v1.uploads_pb2 import WriteStreamRequest
from conexiones.gen.user_pb2 import GetImage
from tests.support.attacks import http1
from tests.support.attacks.link import Link, message, on_link
from tests.support.attacks.messages import GET_STREAM_IMAGE, JSON
from tests.support.attacks.target import BACK_OFF, Connection, Tally, Target, again, many

UPLOADS = "/conexiones.v1.UploadService"
GIB = 1 << 30


async def create(connection: Connection, tally: Tally, size: int | None) -> str:
    """Begins an upload and gives its id, "" if it is refused."""
    fields = {"requestId": str(uuid4()), **({"sizeBytes": str(size)} if size else {})}
    tally["calls"] += 1
    await connection.send(http1.request(f"{UPLOADS}/CreateUpload", JSON, json.dumps(fields).encode()))
    status, body = await http1.answer(connection)
    if status == 200:
        tally["uploads"] += 1
        return str(json.loads(body)["upload"]["id"])
    tally[f"refused: {http1.reason(status, body)}"] += 1
    return ""


async def _created(connection: Connection, tally: Tally, size: int | None) -> str:
    """The id of a new upload, as soon as the server takes one."""
    while not (id := await create(connection, tally, size)):  # noqa: ASYNC110 (nothing announces it)
        await asyncio.sleep(1)
    return id


async def opened(target: Target, tally: Tally, *, size: int | None = None, count: int = 1000) -> None:
    """Uploads that are begun and left, as many as the server takes; `size` is what each announces."""

    async def once() -> None:
        async with await Connection.open(target) as connection:
            while True:
                if tally["uploads"] >= count or not await create(connection, tally, size):
                    await asyncio.sleep(0.2)

    await many(8, lambda _: again(tally, once))


async def dribbled(
    target: Target, tally: Tally, *, size: int = 16 * GIB, count: int = 64, seconds: float = 1.0
) -> None:
    """Uploads that are announced as large as they may be, and get a byte now and then."""

    async def once() -> None:
        async with await Connection.open(target) as connection:
            id = await _created(connection, tally, size)
            for offset in itertools.count():
                await http1.ask(connection, tally, _chunk(id, offset, b"B" if not offset else b"M"))
                await asyncio.sleep(seconds)

    await many(count, lambda _: again(tally, once))


async def tiny_chunks(target: Target, tally: Tally, *, connections: int = 16) -> None:
    """Chunks of one byte each, as fast as they are acknowledged."""

    async def once() -> None:
        async with await Connection.open(target) as connection:
            id = await _created(connection, tally, None)
            for offset in itertools.count():
                if (
                    await http1.ask(
                        connection, tally, _chunk(id, offset, b"BM"[offset : offset + 1] or b"\0")
                    )
                    != 200
                ):
                    return

    await many(connections, lambda _: again(tally, once))


def _chunk(id: str, offset: int, data: bytes) -> bytes:
    fields = {"uploadId": id, "offset": str(offset), "data": base64.b64encode(data).decode()}
    return http1.request(f"{UPLOADS}/WriteChunk", JSON, json.dumps(fields).encode())


async def made_and_cancelled(target: Target, tally: Tally, *, connections: int = 16) -> None:
    """Uploads that are begun and cancelled, as fast as they go."""

    async def once() -> None:
        async with await Connection.open(target) as connection:
            while True:
                if id := await create(connection, tally, None):
                    cancel = http1.request(f"{UPLOADS}/CancelUpload", JSON, json.dumps({"id": id}).encode())
                    await http1.ask(connection, tally, cancel)
                    tally["uploads"] -= 1
                else:
                    await asyncio.sleep(BACK_OFF)

    await many(connections, lambda _: again(tally, once))


async def silent_writers(target: Target, tally: Tally, *, streams: int = 200) -> None:
    """WriteStream of uploads that are open, without any bytes."""

    async def one(link: Link, _: int) -> None:
        async with await Connection.open(target) as connection:
            id = await _created(connection, tally, None)
        while True:
            stream = await link.begin(f"{UPLOADS}/WriteStream")
            await stream.send(message(WriteStreamRequest(upload_id=id).SerializeToString()))
            await stream.ended
            await asyncio.sleep(BACK_OFF)

    await on_link(target, tally, streams, one)


async def held_fragments(
    target: Target, tally: Tally, *, streams: int = 100, connections: int = 4, size: int = 900_000
) -> None:
    """Streams of GetStreamImage that stop after 900 kB."""
    head = b"BM" + (1 << 24).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    sizes = (40).to_bytes(4, "little") + (2364).to_bytes(4, "little") * 2
    image = head + sizes + b"\1\0\x18\0" + bytes(24) + bytes(size)
    sent = message(GetImage(image=image).SerializeToString())

    async def one(link: Link, _: int) -> None:
        while True:
            stream = await link.begin(GET_STREAM_IMAGE)
            await stream.send(sent)
            await stream.ended
            await asyncio.sleep(BACK_OFF)

    await many(connections, lambda _: on_link(target, tally, streams, one))


async def resumed(target: Target, tally: Tally, *, count: int = 16) -> None:
    """FinishUpload of uploads that are not complete, as fast as it is answered."""

    async def once(number: int) -> None:
        async with await Connection.open(target) as connection:
            id = await _created(connection, tally, 1000)
            finish = json.dumps({"id": id, "sizeBytes": "1000"}).encode()
            while True:
                await http1.ask(connection, tally, http1.request(f"{UPLOADS}/FinishUpload", JSON, finish))

    await many(count, lambda number: again(tally, partial(once, number)))
