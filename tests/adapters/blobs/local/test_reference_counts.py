"""Reference counts at the moments that other tests reach only by chance."""

import threading

from conexiones.adapters.blobs.local.reference_counts import ReferenceCounts

DIGEST = b"1"


class Blobs:
    """Reference counts, and the blobs that they had deleted."""

    def __init__(self) -> None:
        self.counts = ReferenceCounts()
        self.deleted: list[bytes] = []

    def acquire(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.counts.acquire(DIGEST)

    def drop(self, *, in_catalog: bool, version: int | None = None) -> bool:
        if version is None:
            version = self.counts.version(DIGEST)
        return self.counts.delete_if_last(
            DIGEST, version=version, in_catalog=in_catalog, delete=self.deleted.append
        )


def test_a_blob_that_was_settled_since_the_catalog_was_asked_stays() -> None:
    blobs = Blobs()
    blobs.acquire()
    version = blobs.counts.version(DIGEST)  # The catalog is asked, and says no. Then a twin comes and goes:
    blobs.acquire()
    assert blobs.counts.settle(DIGEST)
    assert not blobs.drop(in_catalog=False, version=version)
    assert blobs.drop(in_catalog=True)
    assert blobs.deleted == []


def test_a_blob_whose_image_was_deleted_since_the_catalog_was_asked_goes() -> None:
    blobs = Blobs()
    blobs.acquire()
    version = blobs.counts.version(DIGEST)  # The catalog is asked, and says yes. Then the image is deleted:
    blobs.acquire()
    assert blobs.drop(in_catalog=False)
    assert not blobs.drop(in_catalog=True, version=version)
    assert blobs.drop(in_catalog=False)
    assert blobs.deleted == [DIGEST]


def test_the_last_to_settle_decides_if_another_could_not() -> None:
    blobs = Blobs()
    blobs.acquire(2)  # the image of the first is in the catalog, and is deleted before it settles
    assert blobs.drop(in_catalog=False)
    assert blobs.deleted == []
    assert not blobs.counts.settle(DIGEST)
    assert blobs.drop(in_catalog=False)
    assert blobs.deleted == [DIGEST]


def test_an_abandoned_reference_deletes_nothing_and_makes_the_last_one_decide() -> None:
    blobs = Blobs()
    blobs.acquire()
    blobs.counts.abandon(DIGEST)
    assert blobs.counts.is_unsettled(DIGEST)
    blobs.acquire(2)
    blobs.counts.abandon(DIGEST)
    assert not blobs.counts.settle(DIGEST)
    assert blobs.drop(in_catalog=True)
    assert blobs.deleted == []


def test_nothing_is_remembered_after_the_last_reference() -> None:
    blobs = Blobs()
    blobs.acquire()
    assert blobs.counts.settle(DIGEST)
    assert not blobs.counts.is_unsettled(DIGEST)
    blobs.acquire()
    assert blobs.drop(in_catalog=False)
    assert not blobs.counts.is_unsettled(DIGEST)
    assert blobs.deleted == [DIGEST]


def test_who_deletes_a_blob_keeps_only_those_waiting_that_share_its_lock() -> None:
    counts = ReferenceCounts()
    deleting, ready = threading.Event(), threading.Event()

    def delete(digest: bytes) -> None:
        deleting.set()
        assert ready.wait(60)

    assert counts.acquire(DIGEST)
    version = counts.version(DIGEST)
    thread = threading.Thread(
        target=counts.delete_if_last,
        args=(DIGEST,),
        kwargs={"version": version, "in_catalog": False, "delete": delete},
    )
    thread.start()
    try:
        assert deleting.wait(60)
        assert not counts.acquire(DIGEST, wait=False)
        assert counts.acquire(b"2", wait=False)
        assert counts.settle(b"2", wait=False)
    finally:
        ready.set()
        thread.join()
    assert counts.acquire(DIGEST, wait=False)
