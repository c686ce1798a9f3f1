"""What a stream of the tutorial's service is fed with."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import Any, Generic, TypeVar

from conexiones.sdk.threads import Beside, seen

T = TypeVar("T")

_END: Any = object()


class Items(Generic[T]):
    """The items of an iterable, asynchronous or not. Those that were taken before the first reply are kept,
    so that a stream that was refused as a whole can begin again. There are few: the server's window bounds
    how much is sent before that.

    One task iterates at a time. If it is cancelled, nothing is lost of what the iterable gives.
    """

    def __init__(self, items: Iterable[T] | AsyncIterable[T]) -> None:
        self._source = _each(items)
        self._coming: asyncio.Task[Any] | None = None
        self._kept: list[T] = []
        self._again: list[T] = []
        self._answered = False
        self.failure: BaseException | None = None
        """What the iterable raised."""

    def __aiter__(self) -> "Items[T]":
        return self

    async def __anext__(self) -> T:
        item = self._again.pop(0) if self._again else await self._next()
        if not self._answered:
            self._kept.append(item)
        return item

    async def _next(self) -> T:
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._one())
            self._coming.add_done_callback(seen)
        item: T = await asyncio.shield(self._coming)
        self._coming = None
        if item is _END:
            raise StopAsyncIteration
        return item

    async def _one(self) -> Any:
        """An item, or _END."""
        try:
            return await anext(self._source)
        except StopAsyncIteration:
            return _END
        except BaseException as error:
            self.failure = error
            raise

    def answered(self) -> None:
        """The server has replied: from now on nothing is kept."""
        self._answered = True
        self._kept = []

    def rewind(self) -> bool:
        """Begins again with the first item. False if there was a reply already."""
        if self._answered:
            return False
        self._again, self._kept = self._kept + self._again, []
        return True

    async def close(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait({self._coming})
        await self._source.aclose()


async def _each(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    iterator, end = iter(items), object()
    thread = Beside()  # the iterator may never give another item
    try:
        while (found := await thread.do(next, iterator, end)) is not end:
            yield found
    finally:
        thread.end()
