"""The figures to reach. Most are ratios within one run, so that they mean the same on any machine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.record import Record
from bench.rows import (
    HOT_READS,
    RENDITIONS,
    SMALL_FILES,
    WATCHERS,
    catalog,
    folders,
    images,
    memory,
    metrics,
    originals,
    page,
    reads,
    renditions,
    small,
    transfers,
    uploads,
    users,
    watch,
)

Compute = Callable[[Record], float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A bound for a number that `compute` takes from the results.

    bound: the largest acceptable number or, with `least`, the smallest.
    unit: "" for a ratio.
    limit: the number that is reached, in the same run, by what does only the least of the work: bare
        software, or the disk. `limited_by` says what that is.
    """

    work: str
    bound: float
    compute: Compute
    least: bool = False
    unit: str = ""
    limit: Compute | None = None
    limited_by: str = ""

    def wanted(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:g}{self.unit and ' ' + self.unit}"

    def measure(self, record: Record) -> float | None:
        """The number, or None if a row that it needs was not measured."""
        return _computed(self.compute, record)

    def measure_limit(self, record: Record) -> float | None:
        """The number of the limit, or None if there is none or if it was not measured."""
        return _computed(self.limit, record) if self.limit else None

    def met(self, value: float) -> bool:
        return value >= self.bound if self.least else value <= self.bound


def _computed(compute: Compute, record: Record) -> float | None:
    try:
        return compute(record)
    except KeyError:
        return None


def ratio(row: str, one: str, other: str) -> Compute:
    """The median of one contender divided by that of the other."""
    return lambda record: record.median(row, one) / record.median(row, other)


def _waits(record: Record) -> float:
    """What durability adds to the time of an acknowledgement, in multiples of one append with fdatasync."""
    row = images.PING_PONG
    added = record.median(row, images.OURS) - record.median(row, uploads.STORELESS)
    return added / record.median(row, images.FDATASYNC)


def _peak(count: int) -> Compute:
    return lambda record: record.median(uploads.MEMORY, f"{count} uploads")


def _gibibyte(fragment: int, other: str) -> Compute:
    return ratio(uploads.ROW, uploads.ours_in(fragment), other)


def _renditions() -> Iterator[Figure]:
    """Each kind of rendition, against those who make them of the same bytes."""
    for size, format in renditions.CELLS:
        for other, rate in ((renditions.IMGPROXY, 1.0), (renditions.BARE, 0.9)):
            yield Figure(
                f"renditions per second, {size} JPEG to {format}, 4 at a time / {other}",
                rate,
                ratio(renditions.rate(size, format), renditions.OURS, other),
                least=True,
                limit=ratio(renditions.rate(size, format), renditions.BARE, other),
                limited_by="libvips alone",
            )
            yield Figure(
                f"bytes of them for the same SSIM / {other}",
                1.05,
                ratio(renditions.weight(size, format), renditions.OURS, other),
            )


def _bare_folder(who: str, other: str) -> Compute | None:
    """How far bare gRPC gets with the images of a folder, in the language of this contender."""
    if who == folders.NODE:
        return ratio(folders.ROW, folders.GRPC_JS, other)
    return ratio(folders.ROW, folders.STREAM, other) if other != folders.STREAM else None


def _p95(watchers: int, rate: int) -> Compute:
    return lambda record: record.median(watch.row(watchers, rate, watch.P95), watch.OURS)


_KIB, _MIB = uploads.KIB, uploads.MIB
_32 = images.small(32)
_APPEND = "an append with fdatasync, no catalog"
_IN_MEMORY = "pyvoy alone, which reads and checks nothing"

FIGURES = [
    Figure("1 GiB durable upload, 64 KiB fragments / local limit", 1.7, _gibibyte(64 * _KIB, uploads.LIMIT)),
    Figure("the same, 1 MiB fragments / local limit", 1.5, _gibibyte(_MIB, uploads.LIMIT)),
    Figure("the same, 4 KiB fragments / local limit", 2.6, _gibibyte(4 * _KIB, uploads.LIMIT)),
    Figure(
        "the same, 64 KiB / nginx PUT + sync + sha256",
        0.8,
        _gibibyte(64 * _KIB, uploads.NGINX),
        limit=ratio(uploads.ROW, uploads.LIMIT, uploads.NGINX),
        limited_by="the local limit, without network and client",
    ),
    Figure("the same, 64 KiB / @tus/server + sync + sha256", 0.45, _gibibyte(64 * _KIB, uploads.TUS)),
    *(
        Figure(f"server's peak memory, {count} concurrent uploads", bound, _peak(count), unit="MiB")
        for count, bound in {1: 220, 4: 300, 16: 400, 64: 500}.items()
    ),
    *(
        Figure(
            f"server's peak memory, {work} / what it may have by default",
            100,
            lambda record, work=work: record.median(memory(work), "ours"),  # type: ignore[misc]
            unit="%",
        )
        for work in (RENDITIONS, SMALL_FILES, WATCHERS, HOT_READS)
    ),
    Figure(
        "10 KB images per second, durable, 32 streams / one file per image + fsync on the same server",
        6,
        ratio(_32, images.OURS, images.ONE_FILE),
        least=True,
        limit=ratio(_32, uploads.STORELESS, images.ONE_FILE),
        limited_by="our server without a store",
    ),
    Figure(
        "the same / our server without a store",
        0.75,
        ratio(_32, images.OURS, uploads.STORELESS),
        least=True,
        limit=ratio(_32, images.APPEND_ONLY, uploads.STORELESS),
        limited_by=_APPEND,
    ),
    Figure(
        "server's processor time for a 10 KB image, 32 streams / our server without a store",
        1.9,
        ratio(images.cost(_32), images.OURS, uploads.STORELESS),
        limit=ratio(images.cost(_32), images.APPEND_ONLY, uploads.STORELESS),
        limited_by=_APPEND,
    ),
    Figure(
        "100 KB images per second, 32 streams / our server without a store",
        0.5,
        ratio(images.LARGE, images.OURS, uploads.STORELESS),
        least=True,
    ),
    Figure("one stream, 10 KB: (p50 - p50 without a store) / p50 of append + fdatasync", 3, _waits),
    Figure(
        "GetUser per second, 10 connections × 10 streams / grpc.aio with uvloop and our store",
        1.2,
        ratio(users.ROW, users.OURS, uploads.AIO),
        least=True,
    ),
    *(
        Figure(f"{row}, with metrics / without", 1.05, ratio(row, metrics.MEASURED, metrics.UNMEASURED))
        for row in (metrics.USERS, metrics.IMAGES)
    ),
    *(
        Figure(
            f"{what} per second, asked for before, with a token / GetUser with one",
            1,
            ratio(reads.HOT, what, reads.GET_USER),
            least=True,
        )
        for what in (reads.ORIGINAL, reads.RENDITION, reads.SAME, reads.HEAD)
    ),
    Figure(
        "originals of 2 MB, bytes per second / nginx",
        0.7,
        ratio(originals.MEGABYTES, originals.OURS, originals.NGINX),
        least=True,
        limit=ratio(originals.MEGABYTES, originals.PYVOY, originals.NGINX),
        limited_by=_IN_MEMORY,
    ),
    Figure(
        "original of 1 GiB, the same",
        0.7,
        ratio(originals.GIBIBYTE, originals.OURS, originals.NGINX),
        least=True,
        limit=ratio(originals.GIBIBYTE, originals.PYVOY, originals.NGINX),
        limited_by=_IN_MEMORY,
    ),
    Figure(
        "10 KB images per second, 1,000,000 images in the catalog / empty catalog",
        0.9,
        ratio(catalog.ROW, catalog.FULL, catalog.EMPTY),
        least=True,
    ),
    Figure("time of a page of ListImages, the same", 1.2, ratio(catalog.PAGE, catalog.FULL, catalog.EMPTY)),
    Figure(
        "1 GiB upload, Python SDK / h2load with the same calls",
        1.5,
        ratio(transfers.UPLOAD, transfers.PYTHON, transfers.H2LOAD),
    ),
    Figure("the same, Node SDK", 2, ratio(transfers.UPLOAD, transfers.NODE, transfers.H2LOAD)),
    *(
        Figure(
            f"10,000 images of 10 KB in one folder, {name}: images per second",
            2000,
            lambda record, who=who: record.median(folders.ROW, who),  # type: ignore[misc]
            least=True,
            unit="images/s",
            limit=(lambda record: record.median(folders.ROW, folders.GRPC_JS))
            if who == folders.NODE
            else None,
            limited_by="bare grpc-js",
        )
        for name, who in (
            ("conexiones put", folders.PUT),
            ("Python SDK", folders.MANY),
            ("Node SDK", folders.NODE),
        )
    ),
    *(
        Figure(
            f"the same, {name} / {whom}",
            bound,
            ratio(folders.ROW, who, whom),
            least=True,
            limit=_bare_folder(who, whom),
            limited_by="bare grpc-js" if who == folders.NODE else folders.STREAM,
        )
        for name, who in (
            ("conexiones put", folders.PUT),
            ("Python SDK", folders.MANY),
            ("Node SDK", folders.NODE),
        )
        for whom, bound in ((folders.STREAM, 0.6), (folders.S3, 2))
    ),
    Figure(
        "one 10 KB image by the Python SDK's upload, p50 / ping-pong of ImageStreamReply",
        1.5,
        ratio(folders.ONE, folders.UPLOAD, folders.PING_PONG),
        limit=ratio(small.PING_PONG, small.UPLOAD_IMAGE, small.STREAM_REPLY),
        limited_by="bare grpcio, a call for each image",
    ),
    Figure(
        "1 GiB download, Python SDK (durable) / curl from nginx",
        1.7,
        ratio(transfers.DOWNLOAD, transfers.PYTHON, transfers.CURL),
        limit=ratio(transfers.DOWNLOAD, transfers.GRPCIO, transfers.CURL),
        limited_by="bare grpcio, which throws the bytes away",
    ),
    Figure(
        "the same, Node SDK",
        2,
        ratio(transfers.DOWNLOAD, transfers.NODE, transfers.CURL),
        limit=ratio(transfers.DOWNLOAD, transfers.GRPC_JS, transfers.CURL),
        limited_by="bare grpc-js, which throws the bytes away",
    ),
    *_renditions(),
    *(
        Figure(
            f"from the acknowledgement of an image to its event, p95, {watch.shape(*work)}",
            bound,
            _p95(*work),
            unit="ms",
        )
        for work, bound in {watch.ONE: 50, watch.MANY: 250}.items()
    ),
    Figure(
        "200 files of 300 KB, the page / conexiones put",
        1.5,
        ratio(page.ROW, page.PAGE, page.PUT),
        limit=ratio(page.ROW, page.BARE, page.PUT),
        limited_by="the calls alone, in Chromium, by a page that shows nothing",
    ),
    Figure(
        "the same, longest task of the page's thread",
        50,
        lambda record: record.median(page.LONGEST, page.PAGE),
        unit="ms",
    ),
]
