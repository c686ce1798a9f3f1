"""Wrong credentials: how many may come from one address."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from conexiones.errors import RateExceeded
from conexiones.principals import Principal

WRONG = 20
"""Wrong credentials that may come from one client in SECONDS."""

SECONDS = 60.0

_KNOWN = 100_000
"""Credentials that are remembered as right; of more, those that came first are forgotten."""

_CLIENTS = 10_000
"""Clients whose wrong credentials are remembered; of more, those that sent one last."""


class Guesses:
    """Slows down whoever guesses.

    Behind an address from which too many wrong credentials came, only those work that were right before. So
    who guesses learns nothing, and others behind the same address go on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[str, float] = OrderedDict()  # when all of a client are forgotten
        self._known: dict[str, None] = {}

    def wrong(self, client: str) -> None:
        """A wrong credential came. Raises RateExceeded if it was one too many."""
        self.check(client)
        now = self._clock()
        self._times[client] = max(now, self._times.get(client, 0.0)) + SECONDS / WRONG
        self._times.move_to_end(client)
        if len(self._times) > _CLIENTS:
            self._times.popitem(last=False)

    def knows(self, principal: Principal) -> bool:
        """Whether that credential was right before."""
        return (principal.credential or principal.subject) in self._known

    def right(self, client: str, principal: Principal) -> None:
        """A credential came that is right. Raises RateExceeded if it may have been guessed."""
        key = principal.credential or principal.subject
        if key not in self._known:
            self.check(client)
            if len(self._known) >= _KNOWN:
                del self._known[next(iter(self._known))]
            self._known[key] = None

    def check(self, client: str) -> None:
        """Raises RateExceeded if too many wrong ones came from there of late."""
        over = self._times.get(client, 0.0) - self._clock() - SECONDS + SECONDS / WRONG
        if over > 0:
            error = RateExceeded(unit="credentials", limit=WRONG, seconds=round(SECONDS))
            error.retry_after = float(math.ceil(over))
            raise error
