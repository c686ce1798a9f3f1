"""Who still needs a blob that the catalog does not know yet."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass(slots=True)
class _Claim:
    holders: int = 0
    settled: bool = False  # by one who held it beside those that still do


class Claims:
    """The digests that uploads of this process hold between publish and settle. Safe between threads.

    An upload makes its claim before it links its blob, so nobody removes the blob under it. Each claim
    ends in `settle` or `drop`, and whoever drops the last one looks after the blob.
    """

    def __init__(self) -> None:
        self._claims: dict[bytes, _Claim] = {}
        self._lock = Lock()

    def make(self, digest: bytes) -> None:
        with self._lock:
            self._claims.setdefault(digest, _Claim()).holders += 1

    def settle(self, digest: bytes) -> None:
        """Ends a claim: the catalog refers to the blob."""
        with self._lock:
            self._end(digest).settled = True

    def drop(self, digest: bytes, *, referenced: bool, remove: Callable[[bytes], None]) -> None:
        """Ends a claim, and calls `remove` if nobody needs the blob. Raises what `remove` raises.

        `referenced` is what the catalog said some time after the claim was made. Its answer may be out
        of date: an upload that came and settled since then has left word in the claim.
        """
        with self._lock:
            claim = self._end(digest)
            if not (referenced or claim.settled or claim.holders):
                remove(digest)  # within the lock: a claim made now would come too late

    def _end(self, digest: bytes) -> _Claim:
        claim = self._claims[digest]
        claim.holders -= 1
        if not claim.holders:
            del self._claims[digest]
        return claim
