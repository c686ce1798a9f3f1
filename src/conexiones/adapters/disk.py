"""What the adapters on a local disk share: failures, folders, and waiting for work in threads."""

import asyncio
import errno
import os
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from conexiones.errors import ConexionesError, StorageFull, StorageUnavailable

T = TypeVar("T")

# No space, over the quota, over the file system's or the process's file size.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def storage_error(cause: OSError) -> ConexionesError:
    """The error to raise from what the operating system said."""
    return StorageFull() if cause.errno in _FULL else StorageUnavailable()


def sync_folder(folder: Path) -> None:
    """Makes the entries of a folder durable. Raises OSError."""
    _sync(folder, os.O_DIRECTORY)


def sync_file(file: Path) -> None:
    """Makes the bytes of a file durable, whoever wrote them. Raises OSError."""
    _sync(file, 0)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Outcome(asyncio.Future[T]):
    """What a thread will have to say. Whoever awaits it and is cancelled is told so when it is decided.

    Threads cannot be stopped: so nobody works on behind a caller that has gone. Awaited by one task, once.
    """

    def cancel(self, msg: Any = None) -> bool:
        """Never: asyncio then raises the cancellation in the task that waits, once there is an outcome."""
        return False

    def decide(self, result: T | None, error: BaseException | None) -> None:
        if error is None:
            self.set_result(result)  # type: ignore[arg-type]
        else:
            self.set_exception(error)
            self.exception()  # seen: asyncio logs exceptions that nobody looked at


async def to_end(future: asyncio.Future[T]) -> T:
    """The future's result. If the caller is cancelled, that is raised once the future is done.

    Threads cannot be stopped: this is what keeps them from working on behind a caller that has gone,
    on a descriptor that was closed or a file that was removed.
    """
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as caught:
            cancelled = caught
    if cancelled is None:
        return future.result()
    if not future.cancelled():
        future.exception()  # seen: asyncio logs exceptions that nobody looked at
    raise cancelled


async def finish(job: Future[T]) -> T:
    """Waits for a job, to its end even if the caller is cancelled; its OSError becomes ours."""
    try:
        return await to_end(asyncio.wrap_future(job))
    except OSError as cause:
        raise storage_error(cause) from cause


async def decided(outcome: Outcome[T]) -> T:
    """What a thread had to say; its OSError becomes ours."""
    try:
        return await outcome
    except OSError as cause:
        raise storage_error(cause) from cause
