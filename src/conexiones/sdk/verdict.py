"""The status that the server gave a stream.

Where a write fails because the server has just ended the stream, grpc.aio (1.85) puts an INTERNAL of its own,
"Internal error from Core", over the status, before or after the server's own comes. It tells nothing of a
fenced writer from a lost connection, so the server's is looked for: the first that was seen, and the last.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc

_CORE = "Internal error from Core"
_SECONDS = 1.0
_STEP = 0.01


class Verdict:
    """Make it as soon as the call is made."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._first: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    async def of(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """The server's error where there is one, otherwise `error`."""
        if error.details() != _CORE:
            return error
        for _ in range(int(_SECONDS / _STEP)):
            for found in (self._first, self._now()):
                if found is not None and found.details() != _CORE:
                    return found
            await asyncio.sleep(_STEP)
        return error

    def _note(self, _: Any) -> None:
        self._first = self._first or self._now()

    def _now(self) -> grpc.aio.AioRpcError | None:
        code = _at_once(self._call.code())
        if code is None or code is grpc.StatusCode.OK:
            return None
        trailing = _at_once(self._call.trailing_metadata()) or grpc.aio.Metadata()
        return grpc.aio.AioRpcError(
            code, grpc.aio.Metadata(), trailing, details=_at_once(self._call.details())
        )


def _at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """What the coroutine gives without waiting; None if it would wait."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    return None
