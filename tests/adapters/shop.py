"""A store of blobs with its catalog."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from conexiones.adapters.blobs.local.store import FileBlobs
from conexiones.errors import StorageUnavailable
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord
from tests.adapters.test_blobs import fill, whole
from tests.adapters.test_named import sha

T = TypeVar("T")
Make = Callable[..., ImageRecord]
InTheWriter = Callable[[str], None]
ShopThatRuns = Callable[[str], Awaitable["Shop"]]

DYING = """
import os, signal
from pathlib import Path
{get} as owner
flag, real = Path({flag!r}), owner.{step}
def die(*arguments):
    result = None if {before} else real(*arguments)
    if flag.exists():
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments) if {before} else result
owner.{step} = die
"""


def dying(flag: Path, get: str, step: str, *, before: bool = False) -> str:
    """Code by which the process that writes kills itself behind a step, or before it, once the flag is there;
    `get` imports what has the step."""
    return DYING.format(flag=str(flag), get=get, step=step, before=before)


async def taken(done: Callable[[], Awaitable[T]]) -> T:
    """What it gives as soon as the store takes it."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await done()
            except StorageUnavailable:
                await asyncio.sleep(0)


class Shop:
    """A store and its catalog, to be opened again on what is there. Stores in one step, or in two."""

    def __init__(self, root: Path, catalog: Catalog, image: Make, *, at_once: bool = False) -> None:
        self.root, self._catalog, self._image, self._at_once = root, catalog, image, at_once
        self._ids: dict[bytes, str] = {}

    async def open(self) -> None:
        self.blobs = FileBlobs(self.root)
        await self.blobs.open(self._catalog)

    async def reopen(self) -> None:
        await self.blobs.close()
        await self.open()

    async def store(self, data: bytes) -> bytes:
        staged = await fill(self.blobs.stage(), data)
        try:
            if self._at_once:
                digest = await staged.publish_to(self._add)
            else:
                digest = await self._add(await staged.publish())
            await staged.settle()
            return digest
        finally:
            await staged.discard()

    async def _add(self, digest: bytes) -> bytes:
        self._ids[digest] = secrets.token_hex(8)
        await self._catalog.add_image(self._image(self._ids[digest], digest=digest))
        return digest

    async def delete(self, digest: bytes) -> None:
        async with self.blobs.removing(digest):
            await self._catalog.delete_image(self._ids[digest], now=1)

    async def intact(self, *contents: bytes) -> bool:
        return all([await whole(self.blobs, sha(data)) == data for data in contents])

    @property
    def segment(self) -> Path:
        return self.root / "segments" / "00000000"
