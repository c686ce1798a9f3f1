"""Parts that several peers share."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.ports.records import Charge, ImageRecord, UserRecord
from conexiones.ports.staging import Content, ResumableStaged, Staged

APPENDED = "appended"
"""The file in the data folder to which append_only.py appends."""

T = TypeVar("T")


class Keeper(Protocol):
    """A store that takes whole blobs."""

    async def keep(self, digest: bytes, data: bytes) -> None:
        """Makes a blob durable."""


class Whole:
    """A Staged for a small image, which is in memory until it is published."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._data = b""

    @property
    def size(self) -> int:
        return len(self._data)

    async def write(self, data: bytes | memoryview) -> None:
        self._data += data

    async def inspect(self, judge: Callable[[Content], T], *, slow: bool = False) -> T:
        return judge(self._data)

    async def publish(self, add: Callable[[bytes], Awaitable[T]]) -> T:
        digest = hashlib.sha256(self._data).digest()
        await self._keeper.keep(digest, self._data)
        return await add(digest)

    async def settle(self) -> None:
        pass

    async def discard(self) -> None:
        pass


class OneShot:
    """A Staging of images that come in one call."""

    def __init__(self, stage: Callable[[], Staged]) -> None:
        self.stage = stage

    async def resume(self, upload_id: str, size: int) -> ResumableStaged:
        raise NotImplementedError("an upload that is resumed is not staged here")

    async def drop(self, upload_id: str) -> None:
        pass


class Forgetful(SqliteCatalog):
    """A catalog that does not record the images and users it is given."""

    async def add_image(self, image: ImageRecord, *, charge: Charge | None = None) -> None:
        pass

    async def put_user(
        self,
        name: str,
        *,
        owner: str = "",
        pow: int | None,
        image: ImageRecord | None,
        now: int,
        charge: Charge | None = None,
    ) -> UserRecord:
        return UserRecord(
            name=name, pow=pow or 0, image_id=image.id if image else None, create_time=now, update_time=now
        )
