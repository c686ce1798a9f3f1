"""Sends the images of a folder from one Python process: `python -m bench.load.folder HOW FOLDER` prints the
seconds as JSON. HOW: many (upload_many) or stream (ImageStreamReply, four streams) for all images; upload or
ping-pong (ImageStreamReply) for one after the other, of which the median is printed."""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc

from conexiones import AsyncClient
from conexiones.gen.user_pb2 import GetImage
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub

STREAMS = 4


async def many(address: str, paths: list[Path]) -> float:
    begin = time.perf_counter()
    async with AsyncClient(address) as client:
        async for one in client.upload_many(paths):
            if one.error is not None:
                raise one.error
    return time.perf_counter() - begin


async def stream(address: str, paths: list[Path]) -> float:
    begin = time.perf_counter()
    async with grpc.aio.insecure_channel(address) as channel:
        parts = (paths[number::STREAMS] for number in range(STREAMS))
        await asyncio.gather(*(_one_stream(channel, part) for part in parts))
    return time.perf_counter() - begin


async def _one_stream(channel: grpc.aio.Channel, paths: list[Path]) -> None:
    call: Any = UsuarioServicioStub(channel).ImageStreamReply()

    async def send() -> None:
        for path in paths:
            await call.write(GetImage(image=path.read_bytes()))
        await call.done_writing()

    sending = asyncio.create_task(send())
    for _ in paths:
        _stored(await call.read())
    await sending


async def upload(address: str, paths: list[Path]) -> float:
    async with AsyncClient(address) as client:
        return await _median(paths, client.upload)


async def ping_pong(address: str, paths: list[Path]) -> float:
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = UsuarioServicioStub(channel).ImageStreamReply()

        async def one(path: Path) -> None:
            await call.write(GetImage(image=path.read_bytes()))  # noqa: ASYNC240 (nothing else runs)
            _stored(await call.read())

        median = await _median(paths, one)
        await call.done_writing()
        await call.read()
    return median


async def _median(paths: list[Path], send: Callable[[Path], Coroutine[Any, Any, object]]) -> float:
    seconds = []
    for path in paths:
        begin = time.perf_counter()
        await send(path)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def _stored(reply: Any) -> None:
    if reply is grpc.aio.EOF or not reply.HasField("image_info"):
        raise RuntimeError(f"the image was not stored: {reply}")


HOW = {"many": many, "stream": stream, "upload": upload, "ping-pong": ping_pong}


def main() -> None:
    how, folder = sys.argv[1:]
    seconds = asyncio.run(HOW[how](os.environ["CONEXIONES_ADDRESS"], sorted(Path(folder).iterdir())))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
