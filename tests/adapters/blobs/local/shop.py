"""A store of blobs with its catalog."""

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.writer.client import WriterClient
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord
from tests.adapters.blobs.contents import fill, sha, whole

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
    """Code by which the writing process kills itself after a step, or before it, once the flag is there.
    `get` imports what has the step."""
    return DYING.format(flag=str(flag), get=get, step=step, before=before)


class Shop:
    """A store and its catalog, to be opened again on what is there. With the catalog's `writer` it stores an
    image in one step with its bytes, without in two steps."""

    def __init__(
        self, root: Path, catalog: Catalog, image: Make, *, writer: WriterClient | None = None
    ) -> None:
        self.root, self._catalog, self._image, self._writer = root, catalog, image, writer
        self._ids: dict[bytes, str] = {}

    async def open(self) -> None:
        self.inner = LocalStore(self.root, self._catalog, writer=self._writer)
        self.staging, self.blobs = self.inner.staging, self.inner.blobs
        await self.inner.open()

    async def close(self) -> None:
        await self.inner.close()

    async def reopen(self) -> None:
        await self.close()
        await self.open()

    async def store(self, data: bytes) -> bytes:
        staged = await fill(self.staging.stage(), data)
        try:
            digest = await staged.publish(self._add)
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
        return all([await whole(self, sha(data)) == data for data in contents])

    @property
    def segment(self) -> Path:
        return self.root / "segments" / "00000000"
