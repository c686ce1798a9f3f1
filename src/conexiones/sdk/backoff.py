"""When to retry after a failure, and when to give up."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from conexiones.errors import ConexionesError
from conexiones.sdk import traces
from conexiones.sdk.failures import ConnectionLost, NoProgress, Stalled, Unreachable

FIRST_PAUSE_SECONDS = 0.1
"""Length of the pause after the first failure; it doubles with each further failure."""
LONGEST_PAUSE_SECONDS = 5.0
"""Upper bound of one pause."""
FIRST_ANSWER_SECONDS = 10.0
"""How long to try a server that never answered. It is shorter than the usual patience, because such an
address is more likely wrong than its server is down."""


class Backoff:
    """Exponential backoff with jitter. Gives up after `patience` seconds without progress."""

    def __init__(
        self, patience: float, unreachable: Callable[[ConnectionLost], Awaitable[Unreachable]]
    ) -> None:
        self._patience = patience
        self._unreachable = unreachable
        self._since = time.monotonic()
        self._failures = 0

    def progress(self) -> None:
        """Starts the patience anew, and the next pause is short again."""
        self._since = time.monotonic()
        self._failures = 0

    async def pause(self, error: ConexionesError, *, reached: bool) -> None:
        """Waits before the next attempt, at least as long as the server asked for (`retry_after`).

        `reached`: whether the server has ever answered. When the patience does not allow for another attempt,
        raises what the server said, such as TooManyUploads; after a lost connection NoProgress, or
        Unreachable if the server has not answered even once in ten seconds.
        """
        delay = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._failures)
        delay *= random.uniform(0.5, 1)
        delay = max(delay, error.retry_after or 0)
        self._failures += 1
        traces.again(error)
        spent = time.monotonic() - self._since
        if not reached and isinstance(error, ConnectionLost) and spent + delay > FIRST_ANSWER_SECONDS:
            raise await self._unreachable(error) from error
        left = self._patience - spent
        if left <= 0 or (error.retry_after or 0) > left:
            if not isinstance(error, ConnectionLost):
                raise error
            last = error if reached or isinstance(error, Stalled) else await self._unreachable(error)
            given_up = NoProgress(seconds=round(spent), last=last.message)
            given_up.request_id = error.request_id
            raise given_up from error
        # The last pause is shortened, so that the last attempt is made when the patience is over.
        await asyncio.sleep(min(delay, left))
