"""The client without asyncio: the same calls, made in an event loop on a thread of its own."""

import asyncio
import functools
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from concurrent.futures import CancelledError
from contextlib import closing, suppress
from functools import partial
from types import TracebackType
from typing import Any, BinaryIO, Concatenate, ParamSpec, Self, TypeVar, overload

from conexiones.sdk import forks
from conexiones.sdk.client import AsyncClient, PathOrText
from conexiones.sdk.environ import options_from
from conexiones.sdk.renditions import Rendition, RenditionInfo
from conexiones.sdk.results import Image
from conexiones.sdk.threads import seen
from conexiones.sdk.uploads import Progress

P = ParamSpec("P")
T = TypeVar("T")

_THREAD = "conexiones-client"


class _Background:
    """The event loop that all blocking clients of this process share, on a thread. It ends with the process.

    They share one because grpc.aio works best with a single event loop in a process.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name=_THREAD, daemon=True).start()
            return self._loop

    def forget(self) -> None:
        """In a child, which has no such thread, and shares the files of the loop with its parent."""
        if self._loop is not None:
            forks.leak(self._loop)
        self.__init__()  # type: ignore[misc]  # (another thread may have held the lock)


_background = _Background()
forks.in_child(_background.forget)


class _Exiting(RuntimeError):
    """The interpreter shuts down, and the thread of the loop has stopped: waiting for it would never end."""


def _wait(work: Coroutine[Any, Any, T]) -> T:
    if sys.is_finalizing():
        work.close()
        raise _Exiting("The program is ending: the client can make no calls any more.")
    try:
        forks.check()
    except forks.ForkedInCall:
        work.close()
        raise
    if threading.current_thread().name == _THREAD:
        work.close()
        raise RuntimeError(
            "A call of the client was made by a callback of the client: it would wait for itself."
        )
    future = asyncio.run_coroutine_threadsafe(work, _background.loop())
    try:
        return future.result()
    except CancelledError:
        raise
    except BaseException:
        if not future.done():
            # KeyboardInterrupt arrives here, in the waiting thread: end the call before it propagates.
            future.cancel()
        raise


def _end(work: Coroutine[Any, Any, None]) -> None:
    """Ends an iterator by `work`."""
    if threading.current_thread().name == _THREAD:
        # The garbage collector frees what it finds in any thread. In this one nothing is waited for.
        asyncio.get_running_loop().create_task(work).add_done_callback(seen)
        return
    # A child that cannot make calls has none to end either. As the interpreter shuts down, calls end with the
    # process.
    with suppress(forks.ForkedInCall, _Exiting):
        _wait(work)


def _making(kind: Callable[P, AsyncClient]) -> Callable[[Any], "Callable[Concatenate[Client, P], None]"]:
    def decorate(stub: Any) -> "Callable[Concatenate[Client, P], None]":
        @functools.wraps(kind.__init__)
        def init(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> None:
            self._client = kind(*args, **kwargs)

        return init

    return decorate


def _blocking(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> "Callable[Concatenate[Client, P], T]":
    @functools.wraps(method)
    def call(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return _wait(method(self._client, *args, **kwargs))

    return call


def _iterating(
    method: Callable[Concatenate[AsyncClient, P], AsyncIterator[T]],
) -> "Callable[Concatenate[Client, P], Generator[T, None, None]]":
    @functools.wraps(method)
    def call(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        items: Any = method(self._client, *args, **kwargs)
        one_at_a_time = asyncio.Lock()

        async def following() -> tuple[T] | None:
            async with one_at_a_time:
                try:
                    return (await anext(items),)
                except StopAsyncIteration:
                    return None

        async def ending() -> None:
            async with one_at_a_time:  # what Ctrl-C has cancelled may take a moment to end
                await items.aclose()

        try:
            while (item := _wait(following())) is not None:
                yield item[0]
        finally:
            _end(ending())

    return call


def _in_batches(
    method: Callable[Concatenate[AsyncClient, P], AsyncIterator[T]],
    batches: Callable[Concatenate[AsyncClient, P], AsyncIterator[list[T]]],
) -> "Callable[Concatenate[Client, P], Generator[T, None, None]]":
    """The same as `_iterating(method)`: it takes from the loop all items that there are at a time."""
    iterating = _iterating(batches)

    @functools.wraps(method)
    def call(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        with closing(iterating(self, *args, **kwargs)) as found:
            for batch in found:
                yield from batch

    return call


class Client:
    """AsyncClient for code without asyncio.

    Safe to use from several threads, and, if no call is in flight at a fork, from several processes. Pickled,
    it is the options without the token: see AsyncClient. `progress` and `ready` are called in the client's
    own thread, and must not call the client.
    """

    _client: AsyncClient

    @_making(AsyncClient)
    def __init__(self) -> None: ...

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Self:
        """See AsyncClient.from_environ."""
        import os

        return cls(**options_from(os.environ if environ is None else environ))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """See AsyncClient.close."""
        with suppress(forks.ForkedInCall, _Exiting):
            _wait(self._client.close())

    def __reduce__(self) -> tuple[Any, ...]:
        make, options = self._client.__reduce__()
        return partial(make.func, type(self), **make.keywords), options

    upload = _blocking(AsyncClient.upload)
    upload_many = _in_batches(AsyncClient.upload_many, AsyncClient._upload_batches)
    get_upload = _blocking(AsyncClient.get_upload)
    cancel_upload = _blocking(AsyncClient.cancel_upload)
    limits = _blocking(AsyncClient.limits)
    status = _blocking(AsyncClient.status)
    health = _blocking(AsyncClient.health)
    access = _blocking(AsyncClient.access)
    create_token = _blocking(AsyncClient.create_token)
    tokens = _iterating(AsyncClient.tokens)
    revoke_token = _blocking(AsyncClient.revoke_token)
    rotate_link_key = _blocking(AsyncClient.rotate_link_key)
    image_link = _blocking(AsyncClient.image_link)
    create_ticket = _blocking(AsyncClient.create_ticket)
    image = _blocking(AsyncClient.image)
    images = _iterating(AsyncClient.images)
    delete = _blocking(AsyncClient.delete)
    watch = _iterating(AsyncClient.watch)
    get_user = _blocking(AsyncClient.get_user)
    process_image = _blocking(AsyncClient.process_image)
    stream_image = _blocking(AsyncClient.stream_image)
    image_stream = _iterating(AsyncClient.image_stream)
    user_stream = _iterating(AsyncClient.user_stream)

    # The only method whose signature is repeated here, because a ParamSpec cannot carry overloads.
    @overload
    def download(
        self,
        id: str,
        target: None = None,
        *,
        rendition: Rendition | None = None,
        offset: int = 0,
        limit: int = 0,
        progress: Progress | None = None,
        resume: bool = True,
    ) -> bytes: ...
    @overload
    def download(
        self,
        id: str,
        target: PathOrText | BinaryIO,
        *,
        rendition: None = None,
        offset: int = 0,
        limit: int = 0,
        progress: Progress | None = None,
        resume: bool = True,
    ) -> Image: ...
    @overload
    def download(
        self,
        id: str,
        target: PathOrText | BinaryIO,
        *,
        rendition: Rendition,
        offset: int = 0,
        limit: int = 0,
        progress: Progress | None = None,
        resume: bool = True,
    ) -> RenditionInfo: ...
    @functools.wraps(AsyncClient.download)
    def download(self, *args: Any, **kwargs: Any) -> Any:
        return _wait(self._client.download(*args, **kwargs))
