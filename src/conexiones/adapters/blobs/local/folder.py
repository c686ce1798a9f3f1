"""What staging and blobs share of a data folder: its paths, its threads, its segments, and the rule by which
a blob may be deleted."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from conexiones.adapters.blobs.local.file_sizes import FileSizes
from conexiones.adapters.blobs.local.reference_counts import ReferenceCounts
from conexiones.adapters.blobs.local.segments import Segments
from conexiones.adapters.system.ballast import Ballast
from conexiones.adapters.system.disk import sync_folder
from conexiones.adapters.system.durability import fsyncs
from conexiones.adapters.system.fair_threads import FairThreads
from conexiones.adapters.system.memory_cache import MemoryCache
from conexiones.adapters.system.presence import Presence
from conexiones.adapters.system.threads import Outcome, finish
from conexiones.adapters.writer.client import WriterClient
from conexiones.errors import StorageFull, StorageUnavailable
from conexiones.metrics import Metrics
from conexiones.ports.catalog import Catalog
from conexiones.shares import Caller, Turns, acting_for
from conexiones.waits import observe_places

THREADS = 8

P = ParamSpec("P")
T = TypeVar("T")


class Folder:
    """Before `start_threads` and after `take_threads`, what needs the disk raises StorageUnavailable."""

    def __init__(
        self,
        root: Path,
        catalog: Catalog,
        cache: MemoryCache[bytes] | None = None,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        metrics = metrics or Metrics()
        self.root = root
        self.blobs = root / "blobs"
        self.incoming = root / "incoming"
        self.uploads = root / "uploads"
        self.catalog = catalog
        self.cache: MemoryCache[bytes] = cache or MemoryCache(0)
        """Small blobs that were read of late, by their digests."""
        self.counts = ReferenceCounts()
        self.ballast = Ballast(root)
        self.segments = Segments(root / "segments", self.counts)
        self.carrier: WriterClient | None = None
        """The writer of the catalog, while images can be made durable in one step with their blobs."""
        self.writing = Turns(2 * THREADS, each=THREADS)
        """For those who have bytes for the disk. With hundreds of uploads, all of them would go on whenever
        any does, and everybody else would wait for all of them in the event loop."""
        observe_places(metrics, "disk_writes", self.writing)
        self.fsyncs = fsyncs(metrics)
        self.sizes = FileSizes(self.blobs)
        self._threads: FairThreads | None = None
        self._presence: Presence | None = None

    def start_threads(self) -> None:
        self._threads = FairThreads(THREADS, name="blobs")

    def take_threads(self) -> FairThreads | None:
        """The threads, if there are any, to be shut down: they are given no new work from now on."""
        threads, self._threads = self._threads, None
        return threads

    def path(self, digest: bytes) -> Path:
        """Where the file of a large blob is."""
        name = digest.hex()
        return self.blobs / name[:2] / name

    def checksums_path(self, digest: bytes) -> Path:
        """Where the checksums of the blocks of a large blob are (checksums.py), if it has more than one."""
        path = self.path(digest)
        return path.with_name(f"{path.name}.crc32c")

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Has a thread do the work when it is the turn of the client for whom the task works."""
        return self.submit_for(acting_for(), work, *args, **kwargs)

    def submit_for(
        self, caller: Caller, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        if self._threads is None:
            raise StorageUnavailable
        return self._threads.submit(caller, work, *args, **kwargs)

    async def close(self, close: Callable[[], None]) -> None:
        """Has a thread close a file, to its end: whoever closes one that was deleted frees its blocks, which
        may take the disk long."""
        if self._threads is None:
            close()
        else:
            await self.run(close)

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Has a thread do the work, to its end even if the caller is cancelled. Its OSError becomes a storage
        error."""
        return await finish(self.submit(work, *args, **kwargs))

    def append(self, digest: bytes, data: bytes) -> Outcome[None]:
        """Makes a small blob durable; the caller holds a reference to it. Raises StorageUnavailable."""
        if self._threads is None:
            raise StorageUnavailable
        return self.segments.append(digest, data)

    async def give_up(self, digest: bytes) -> None:
        """Ends a reference, and deletes the blob if neither the catalog nor another reference needs it.

        Whatever it raises, the reference has ended. Not to be cancelled.
        """
        done = False
        while not done:
            version = self.counts.version(digest)
            try:
                in_catalog = await self.catalog.has_digest(digest)
                if not in_catalog:
                    await self._make_deletable(digest)
                job = self.submit(
                    self.counts.delete_if_last,
                    digest,
                    version=version,
                    in_catalog=in_catalog,
                    delete=self.delete_now,
                )
            except BaseException:
                self.counts.abandon(digest)
                raise
            done = await finish(job)
        if not in_catalog:
            self.cache.drop(digest)

    async def _make_deletable(self, digest: bytes) -> None:
        try:
            await self.segments.make_deletable(digest)
        except StorageFull:
            await self.run(self.ballast.give_up)
            await self.segments.make_deletable(digest)

    # For threads. These raise OSError.

    def prepare(self) -> None:
        """Creates the folders, durably."""
        fan = (self.blobs / f"{i:02x}" for i in range(256))
        for folder in (self.root, self.blobs, self.root / "segments", self.incoming, self.uploads, *fan):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.blobs, self.root, self.root.parent):
            sync_folder(folder)
        self._presence = Presence(self.blobs)
        self.ballast.sweep()
        with suppress(OSError):  # on a full disk the store opens, too, and blobs can be deleted
            self.ballast.hold()

    def check_there(self) -> None:
        """Raises OSError if the folder has gone since `prepare`."""
        if self._presence is not None:
            self._presence.check()

    def delete_now(self, digest: bytes) -> None:
        """Deletes a blob to which nobody refers, durably: its marker may be removed next. Works on a full
        disk."""
        try:
            self._delete(digest)
        except OSError as error:
            self.ballast.give_up_if_full(error)
            self._delete(digest)

    def _delete(self, digest: bytes) -> None:
        self.segments.delete(digest)
        path = self.path(digest)
        # The blob first: a reader that still finds it has found its checksums before.
        found = False
        for each in (path, self.checksums_path(digest)):
            with suppress(FileNotFoundError):
                size = each.stat().st_size
                each.unlink()
                self.sizes.change(digest, -size)
                found = True
        if found:
            sync_folder(path.parent)
