"""The status with which the server ended a stream.

If a write fails because the server has just ended the stream, grpc.aio (1.85) replaces the status by an
INTERNAL of its own, "Internal error from Core". It does so before or after the server's status arrives. That
status does not tell a fenced writer from a lost connection, so the server's own is looked for, in the first
status that the call had and in the latest.

The server's status arrives only when all messages before it were read, and `read` of a call reads none once
the call has a status, be it that of its own. Iterating over the call reads all.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc

from conexiones.sdk.connection import ours
from conexiones.sdk.failures import ConnectionLost, from_rpc

_CORE = "Internal error from Core"
_WAIT_SECONDS = 1.0
"""How long to wait for the server's status."""
_STEP_SECONDS = 0.01
"""How often to look for it meanwhile: grpc.aio has no event that tells of a replaced status."""


class StreamStatus:
    """Watches one call. Create it right after the call, or the first status may be missed."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._first: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    async def of(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError | None:
        """The server's error, None if its status is OK, or `error` if it sent no status."""
        if error.details() != _CORE:
            return error
        for _ in range(int(_WAIT_SECONDS / _STEP_SECONDS)):
            for found in (self._first, self._now()):
                if found is not None and found.details() != _CORE:
                    return found if found.code() is not grpc.StatusCode.OK else None
            await asyncio.sleep(_STEP_SECONDS)
        return error

    def _note(self, _: Any) -> None:
        self._first = self._first or self._now()

    def _now(self) -> grpc.aio.AioRpcError | None:
        code = _at_once(self._call.code())
        if code is None:
            return None
        trailing = _at_once(self._call.trailing_metadata()) or grpc.aio.Metadata()
        return grpc.aio.AioRpcError(
            code, grpc.aio.Metadata(), trailing, details=_at_once(self._call.details())
        )


class Replies:
    """The messages of one stream of replies: all that the server sent, whatever becomes of the requests."""

    def __init__(self, call: Any) -> None:
        self._status = StreamStatus(call)
        self._messages = aiter(call)

    async def read(self) -> Any:
        """The next message, or grpc.aio.EOF. Raises the error with which the server ended the stream."""
        try:
            return await ours(anext(self._messages, grpc.aio.EOF))
        except grpc.aio.AioRpcError as error:
            found = await self._status.of(error)
            if found is None:
                return grpc.aio.EOF
            raise from_rpc(found) from error

    async def close(self) -> None:
        """Ends reading. An error that was raised here keeps the call until then, see `release`."""
        await self._messages.aclose()
        del self._messages, self._status


async def written(part: Any) -> bool:
    """Awaits a write to a stream. Gives whether the stream takes more; if not, it has ended, and its status
    says why."""
    try:
        await ours(part)
    except (grpc.RpcError, asyncio.InvalidStateError, ConnectionLost):
        return False
    finally:
        del part
    return True


def _at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of the coroutine if it has one without waiting, otherwise None."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    return None
