"""`python -m tests.attack.good ADDRESS IMAGE [CA]`: the good client, in a process of its own.

It goes on with five kinds of work at once until its standard input ends, and prints a line of JSON for each
piece of work: its kind, when it began (seconds of the monotonic clock, which all processes share), how many
seconds it took, and its error, "" if there was none. All work but uploads begins at fixed times, whether or
not the work before has been answered. So a server that answers nobody for a second shows in all of the calls
that were due in that second.
"""

import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import grpc
import grpc.aio

from conexiones.errors import ConexionesError
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.samples import samples
from conexiones.sdk.client import AsyncClient
from conexiones.sdk.renditions import Rendition
from tests.attack import tokens
from tests.support.attacks.pictures import numbered
from tests.support.bitmaps import bitmap
from tests.support.failures import reason

EVERY = {"GetUser": 0.05, "new client": 0.5, "ProcessImage": 0.25, "rendition": 0.5, "upload": 0.5}
"""The kinds of work, and the seconds between the beginnings of two; between two uploads, the pause."""

SECONDS = 30.0
"""How long a piece of work may take, an upload twice as long."""

UPLOAD_SIDE = 2582
"""The width and height of the image that is uploaded, 20 MB."""

_OWN = [("grpc.use_local_subchannel_pool", 1)]
"""A channel that shares no connection with another."""

Work = Callable[[], Awaitable[object]]


class Good:
    """The good client of a server, which has a JPEG under `image`. `ca`: the file of its CA if it has TLS.
    With a `token` it uploads and downloads without the SDK, and tries nothing again."""

    def __init__(self, address: str, image: str, ca: str | None = None, *, token: str = "") -> None:
        self._address = address
        self._ca = ca
        self._image = image
        self._token = token
        self._metadata = tokens.metadata(token)
        self._numbers = itertools.count(time.time_ns())
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Begins nothing more. `run` returns when all that was begun has ended."""
        self._ending.set()

    async def run(self) -> None:
        async with (
            self._channel() as channel,
            AsyncClient(self._address, ca=self._ca, timeout=SECONDS, patience=2 * SECONDS) as client,
        ):
            stub = UsuarioServicioStub(channel)
            with_token = {"metadata": self._metadata, "timeout": SECONDS}
            without_sdk = tokens.WithToken(channel, self._token, seconds=2 * SECONDS)
            works: dict[str, Work] = {
                "GetUser": lambda: stub.GetUser(GetUserRequest(name="Ana"), **with_token),
                "new client": self._new_client,
                "ProcessImage": lambda: stub.ProcessImage(self._picture(), **with_token),
                "rendition": lambda: client.download(self._image, rendition=_rendition(*self._size())),
            }
            upload: Callable[[bytes], Awaitable[object]] = partial(client.upload, deadline=2 * SECONDS)
            if self._token:
                works["rendition"] = lambda: without_sdk.rendition(self._image, *self._size())
                upload = without_sdk.upload
            times = (self._at_times(kind, work) for kind, work in works.items())
            await asyncio.gather(*times, self._uploads(upload))
            await asyncio.gather(*self._tasks)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), max(0, seconds))

    async def _at_times(self, kind: str, work: Work) -> None:
        begin = time.monotonic()
        for number in itertools.count(1):
            if self._ending.is_set():
                return
            task = asyncio.create_task(self._timed(kind, work))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await self._pause(begin + number * EVERY[kind] - time.monotonic())

    async def _uploads(self, upload: Callable[[bytes], Awaitable[object]]) -> None:
        plain = b"".join(bitmap(UPLOAD_SIDE, UPLOAD_SIDE))
        while not self._ending.is_set():
            # The resolution in the header makes it another image.
            unique = plain[:38] + (next(self._numbers) % 2**63).to_bytes(8, "little") + plain[46:]
            await self._timed("upload", partial(upload, unique))
            await self._pause(EVERY["upload"])

    def _channel(self) -> grpc.aio.Channel:
        if self._ca is None:
            return grpc.aio.insecure_channel(self._address, options=_OWN)
        trusted = grpc.ssl_channel_credentials(Path(self._ca).read_bytes())
        return grpc.aio.secure_channel(self._address, trusted, options=_OWN)

    async def _new_client(self) -> None:
        async with self._channel() as channel:
            stub = UsuarioServicioStub(channel)
            await stub.GetUser(GetUserRequest(name="Zoé"), metadata=self._metadata, timeout=SECONDS)

    def _picture(self) -> GetUserRequest:
        return GetUserRequest(image=numbered(samples()[0].data, next(self._numbers) % 2**63))

    def _size(self) -> tuple[int, int]:
        """That of a rendition which the server has not made before."""
        number = next(self._numbers)
        return 100 + number % 400, 100 + number // 400 % 400

    async def _timed(self, kind: str, work: Work) -> None:
        begin, error = time.monotonic(), ""
        try:
            await work()
        except grpc.RpcError as failed:
            error = reason(failed) or failed.code().name
        except ConexionesError as failed:
            error = failed.reason
        except OSError as failed:
            error = type(failed).__name__
        print(json.dumps([kind, begin, time.monotonic() - begin, error]), flush=True)


def _rendition(width: int, height: int) -> Rendition:
    return Rendition(width=width, height=height, fit="cover")


async def main(address: str, image: str, ca: str | None = None) -> None:
    good = Good(address, image, ca, token=os.environ.get(tokens.VARIABLE, ""))
    working = asyncio.create_task(good.run())
    # A read in a thread would keep the process if the work fails.
    asyncio.get_running_loop().add_reader(sys.stdin, good.end)
    await working


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
