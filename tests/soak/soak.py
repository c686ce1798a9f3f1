"""One piece of the soak: a server, its clients, what is killed, and a look each minute."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc.aio
import psutil

from conexiones import AsyncClient
from conexiones.gen.conexiones.v1.status_pb2 import GetStatusRequest
from conexiones.gen.conexiones.v1.status_pb2_grpc import StatusServiceStub
from conexiones.samples import samples
from conexiones.testing import Server
from tests.soak.minute import Beside, Minute, look
from tests.soak.work import Amounts, Work
from tests.support.processes import Meter, decoders, writers

SETTINGS = {"memory": "512MiB", "rendition_cache": "64MiB"}
"""A small server, so that what grows comes to its limits soon."""

DECODER_MINUTES, WRITER_MINUTES = 1, 5
"""How often one of the decoders is killed, and how often the catalog's writer."""


async def soak(
    server: Server,
    *,
    piece: int,
    minutes: int,
    seconds: float = 60.0,
    amounts: Amounts | None = None,
    writer_minutes: int = WRITER_MINUTES,
    on_minute: Callable[[Minute], object] = lambda _: None,
) -> list[str]:
    """Soaks for so many minutes, of so many seconds each. Gives what was wrong with the content at the end.

    A call that is under way when the writer is killed may be made again, as the SDK does by itself.
    """
    with TemporaryDirectory() as folder, Meter(server.pid, every=1.0, files=False) as meter:
        async with AsyncClient(server.address) as client:
            work = Work(client, server.address, amounts or Amounts(), samples()[0].data, Path(folder))
            ending = asyncio.Event()
            working = asyncio.create_task(work.run(ending))
            beside = Beside()
            for minute in range(1, minutes + 1):
                faults: Counter[str] = Counter()
                await _first(working, seconds / 2)
                if minute % DECODER_MINUTES == 0:
                    faults["decoder"] += _kill(decoders(server.pid))
                if minute % writer_minutes == 0:
                    faults["writer"] += _kill(writers(server.pid))
                await _first(working, seconds / 2)
                if working.done():
                    break
                content = await _content(server.address)
                on_minute(
                    await asyncio.to_thread(
                        look,
                        piece=piece,
                        minute=minute,
                        meter=meter,
                        pid=server.pid,
                        data=server.data_dir,
                        content=content,
                        tallies=work.take(),
                        faults=dict(faults),
                        others=beside.take(),
                    )
                )
            ending.set()
            await working
            return await work.missing()


async def _content(address: str) -> int:
    """The bytes of all images."""
    async with grpc.aio.insecure_channel(address) as channel:
        return (await StatusServiceStub(channel).GetStatus(GetStatusRequest(), timeout=30)).image_bytes


def _kill(processes: list[psutil.Process]) -> int:
    """Kills one of the processes; gives how many that were."""
    if not processes:
        return 0
    with suppress(psutil.NoSuchProcess):
        random.choice(processes).send_signal(signal.SIGKILL)
        return 1
    return 0


async def _first(working: "asyncio.Task[None]", seconds: float) -> None:
    """Waits for the time, or for the end of the work, which is a failure."""
    await asyncio.wait([working], timeout=seconds)
