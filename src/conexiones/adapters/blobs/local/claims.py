"""Who still needs a blob that the catalog does not know yet, or not any more."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass(slots=True)
class _Claim:
    holders: int = 0
    version: int = 0  # counts whoever came or went
    doubted: bool = False  # one who went would have removed the blob, or kept it, but for the others


class Claims:
    """The digests that tasks of this process hold, each with its blob. Safe between threads.

    An upload makes its claim before it links its blob, and adds its image to the catalog before it ends it:
    nobody removes the blob under it. Who deletes a blob makes a claim as well, before he asks the catalog.
    Each claim ends once, in `settle`, `drop` or `leave`. The last to go looks after the blob.
    """

    def __init__(self) -> None:
        self._claims: dict[bytes, _Claim] = {}
        self._left: set[bytes] = set()
        self._lock = Lock()

    def make(self, digest: bytes, *, wait: bool = True) -> bool:
        """Without `wait`, for the loop, False while a blob is being removed: ask again in a thread."""
        if not self._lock.acquire(blocking=wait):
            return False
        try:
            claim = self._claims.setdefault(digest, _Claim())
            claim.holders += 1
            claim.version += 1
            return True
        finally:
            self._lock.release()

    def version(self, digest: bytes) -> int:
        """What `drop` has to be told, read before the catalog is asked. For those who hold a claim.

        Without the lock, so that the loop never waits for a disk: a number read too early only costs
        another question.
        """
        return self._claims[digest].version

    def held(self, digest: bytes) -> bool:
        """Whether the catalog may not know of a blob: it is claimed, or was left without a decision.

        Without the lock, as `version`.
        """
        return digest in self._claims or digest in self._left

    def settle(self, digest: bytes, *, wait: bool = True) -> bool:
        """Ends the claim of one whose image is in the catalog. False if it is the last one and must `drop`
        instead: another went meanwhile without a decision, and the image may be deleted again.

        Without `wait`, for the loop, also False while a blob is being removed: ask again in a thread.
        """
        if not self._lock.acquire(blocking=wait):
            return False
        try:
            claim = self._claims[digest]
            if claim.doubted and claim.holders == 1:
                return False
            self._left.discard(digest)
            self._end(digest, claim)
            return True
        finally:
            self._lock.release()

    def drop(self, digest: bytes, *, version: int, referenced: bool, remove: Callable[[bytes], None]) -> bool:
        """Ends a claim, and calls `remove` if nobody needs the blob. Raises what `remove` raises: the claim
        has ended then too.

        `referenced` is what the catalog said after `version` was read. The last one decides by it only if
        nobody came or went since: an image is added only under a claim, so a no is still true then. Else
        it gives False, and the claim goes on: ask again.
        """
        with self._lock:
            claim = self._claims[digest]
            if claim.holders > 1:
                claim.doubted = True
            elif claim.version != version:
                return False
            elif not referenced:
                # Within the lock: a claim made now would come too late. And it is held until it is done.
                self._left.add(digest)
                self._end(digest, claim)
                remove(digest)
                self._left.discard(digest)
                return True
            self._end(digest, claim)
            return True

    def leave(self, digest: bytes) -> None:
        """Ends a claim without a decision: what becomes of the blob is left to others, or the next start."""
        with self._lock:
            claim = self._claims[digest]
            claim.doubted = True
            self._left.add(digest)
            self._end(digest, claim)

    def _end(self, digest: bytes, claim: _Claim) -> None:
        claim.holders -= 1
        claim.version += 1
        if not claim.holders:
            del self._claims[digest]
