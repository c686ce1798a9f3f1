"""Reference counts, which keep a blob from being deleted while the catalog does not refer to it yet, or may
have ceased to."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass(slots=True)
class _Count:
    references: int = 0
    version: int = 0  # increases with every change of `references`
    doubted: bool = False  # a reference ended without a decision whether the blob stays


class ReferenceCounts:
    """The blobs that tasks of this process refer to, by digest. Safe between threads.

    An upload acquires a reference before its blob becomes visible, and ends it after its image is in the
    catalog: so nobody deletes the blob in between. Whoever deletes a blob acquires a reference too, before
    asking the catalog. Each reference ends once, in `settle`, `delete_if_last` or `abandon`. Whoever ends the
    last one decides about the blob.

    Deleting takes the disk's time, with a lock held. There is a lock for each first byte of a digest, so that
    whoever deletes many blobs keeps few others waiting.

    The counts are in the memory of one process, as only one uses the folder. Where several processes shared a
    store, they could not see each other's references, and a blob could be deleted under an upload.
    """

    def __init__(self) -> None:
        self._counts: dict[bytes, _Count] = {}
        self._abandoned: set[bytes] = set()
        self._locks = [Lock() for _ in range(256)]

    def acquire(self, digest: bytes, *, wait: bool = True) -> bool:
        """Gives True. Without `wait`, for the event loop, it may give False, and has done nothing, while a
        blob is being deleted: call it again in a thread."""
        lock = self._locks[digest[0]]
        if not lock.acquire(blocking=wait):
            return False
        try:
            count = self._counts.setdefault(digest, _Count())
            count.references += 1
            count.version += 1
            return True
        finally:
            lock.release()

    def version(self, digest: bytes) -> int:
        """What `delete_if_last` has to be told; to be read before the catalog is asked, and only by holders
        of a reference.

        Takes no lock, so that the event loop never waits for a disk. A number that is read too early only
        means that the catalog is asked once more.
        """
        return self._counts[digest].version

    def is_unsettled(self, digest: bytes) -> bool:
        """Whether the catalog may not know of a blob: there is a reference, or one was abandoned.

        Takes no lock, as `version`.
        """
        return digest in self._counts or digest in self._abandoned

    def settle(self, digest: bytes, *, wait: bool = True) -> bool:
        """Ends the reference of an upload whose image is in the catalog, and gives True.

        It gives False, and has done nothing, if this is the last reference and another one ended without a
        decision: as the image may have been deleted since, `delete_if_last` must decide. Without `wait`, for
        the event loop, also while a blob is being deleted: call it again in a thread.
        """
        lock = self._locks[digest[0]]
        if not lock.acquire(blocking=wait):
            return False
        try:
            count = self._counts[digest]
            if count.doubted and count.references == 1:
                return False
            self._abandoned.discard(digest)
            self._end(digest, count)
            return True
        finally:
            lock.release()

    def delete_if_last(
        self, digest: bytes, *, version: int, in_catalog: bool, delete: Callable[[bytes], None]
    ) -> bool:
        """Ends a reference, calls `delete` if nobody needs the blob, and gives True. If `delete` raises, so
        does this, and the reference has ended all the same.

        `in_catalog` is what the catalog said after `version` was read. The last holder decides by it only if
        no reference came or went since: an image is added only under a reference, so a no is still true
        then. Otherwise this gives False and the reference goes on: ask the catalog again.
        """
        with self._locks[digest[0]]:
            count = self._counts[digest]
            if count.references > 1:
                count.doubted = True
            elif count.version != version:
                return False
            elif not in_catalog:
                # With the lock held: a reference that is acquired now would come too late. The blob counts as
                # abandoned until it is deleted.
                self._abandoned.add(digest)
                self._end(digest, count)
                delete(digest)
                self._abandoned.discard(digest)
                return True
            self._end(digest, count)
            return True

    def abandon(self, digest: bytes) -> None:
        """Ends a reference without a decision: the other holders, or the next start, see to the blob."""
        with self._locks[digest[0]]:
            count = self._counts[digest]
            count.doubted = True
            self._abandoned.add(digest)
            self._end(digest, count)

    def _end(self, digest: bytes, count: _Count) -> None:
        count.references -= 1
        count.version += 1
        if not count.references:
            del self._counts[digest]
