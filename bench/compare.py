"""What a visitor wants to know first: beside whom the server was measured, who is faster, and why."""

from dataclasses import dataclass

from bench.record import Record
from bench.rows import folders, images, originals, reads, renditions, transfers, uploads, users

SAME = 1.1
"""Below this factor, two contenders are called equally fast: medians of one run differ by as much from those
of the next."""

TITLE = "Times as fast as others"

_TIMES = ("s", "ms", "µs")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One of our contenders beside another program, or beside bare software for the same work.

    peer: the other one, as a visitor knows it.
    why: the reason, told where ours is slower.
    """

    work: str
    row: str
    ours: str
    other: str
    peer: str
    why: str = ""

    def factor(self, record: Record) -> float:
        """How many times as fast ours is. Raises KeyError if a contender was not measured."""
        ours, other = record.median(self.row, self.ours), record.median(self.row, self.other)
        return other / ours if record.unit(self.row) in _TIMES else ours / other

    def line(self, record: Record) -> str:
        """A row of a table. Raises KeyError as `factor` does."""
        unit = record.unit(self.row)
        ours = f"{_number(record.median(self.row, self.ours))} {unit}"
        other = f"{_number(record.median(self.row, self.other))} {unit}"
        return f"| {self.work} | {ours} | {self.peer}: {other} | {self.factor(record):.2g} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


_KIB = uploads.KIB
_S3 = "obstore, to a local S3 server without fsync"

COMPARISONS = [
    *(
        Comparison(
            "1 GiB comes in by GetStreamImage, durable",
            uploads.ROW,
            uploads.ours_in(64 * _KIB),
            other,
            peer,
            "the bytes pass through HTTP/2 and Python, and are copied twice on their way",
        )
        for other, peer in (
            (uploads.NGINX, "nginx, PUT, then sync and SHA-256"),
            (uploads.TUS, "@tus/server, then sync and SHA-256"),
            (uploads.TUSD, "tusd, then sync and SHA-256"),
            (uploads.AIO, "grpc.aio with our store"),
        )
    ),
    *(
        Comparison(
            f"10 KB images come in over {streams}",
            images.small(count),
            images.OURS,
            other,
            peer,
            "it waits for no disk" if other == uploads.TUTORIAL else "",
        )
        for count, streams in ((1, "1 stream"), (32, "32 streams"))
        for other, peer in (
            (images.ONE_FILE, "a file for each, with fsync"),
            (uploads.AIO, "grpc.aio with our store"),
            (uploads.TUTORIAL, "the tutorial's server, which calls no fsync"),
        )
    ),
    *(
        Comparison("a folder of 10 KB images, conexiones put", folders.ROW, folders.PUT, other, peer)
        for other, peer in ((folders.S3, _S3),)
    ),
    Comparison(
        "a folder of 10 KB images, Python SDK",
        folders.ROW,
        folders.MANY,
        folders.S3,
        _S3,
    ),
    Comparison(
        "a folder of 10 KB images, Node SDK",
        folders.ROW,
        folders.NODE,
        folders.S3,
        _S3,
        "grpc-js takes more processor time for a message than all of the Python SDK",
    ),
    *(
        Comparison("GetUser, which stores a user", users.ROW, users.OURS, other, peer, why)
        for other, peer, why in (
            (uploads.AIO, "grpc.aio with our store", ""),
            (
                users.GRPC_JS,
                "@grpc/grpc-js, from memory",
                "it stores nothing, and has no steps around a call",
            ),
        )
    ),
    *(
        Comparison(
            f"a rendition of a JPEG of {size}, to {format}",
            renditions.rate(size, format),
            renditions.OURS,
            renditions.IMGPROXY,
            "imgproxy",
            "it reads large JPEGs at a smaller scale, and needs more bytes for the same quality",
        )
        for size, format in renditions.CELLS
    ),
    Comparison(
        "a file of 16 KB by HTTP",
        reads.FILES,
        reads.OURS,
        reads.NGINX,
        "nginx",
        "a call passes the event loop of Python; nginx answers from C, with the page cache and sendfile",
    ),
    *(
        Comparison(
            f"an image of {size} by HTTP",
            row,
            originals.OURS,
            other,
            other,
            why,
        )
        for size, row in (("2 MB", originals.MEGABYTES), ("1 GiB", originals.GIBIBYTE))
        for other, why in (
            (
                originals.NGINX,
                "what is sent is read and checked first, and copied four times; nginx uses sendfile",
            ),
            (originals.FILE_SERVER, "it is C++ from the file to the socket, and checks nothing"),
        )
    ),
    *(
        Comparison(
            f"a download of 1 GiB, {name} SDK",
            transfers.DOWNLOAD,
            sdk,
            transfers.CURL,
            "curl from nginx",
            "the SDK hashes and syncs all bytes; curl does neither",
        )
        for name, sdk in (("Python", transfers.PYTHON), ("Node", transfers.NODE))
    ),
]


def measured(record: Record) -> list[tuple[float, Comparison]]:
    """The comparisons that were measured, with their factors, the largest first."""
    found: list[tuple[float, Comparison]] = []
    for one in COMPARISONS:
        try:
            found.append((one.factor(record), one))
        except KeyError:
            continue
    return sorted(found, key=lambda each: -each[0])


def summary(record: Record) -> list[str]:
    """The first section of the report. Empty if nothing of it was measured."""
    found = measured(record)
    if not found:
        return []
    ahead = [one for factor, one in found if factor >= SAME]
    equal = [one for factor, one in found if 1 / SAME < factor < SAME]
    behind = [one for factor, one in found if factor <= 1 / SAME]
    lines = [
        "## What is fast, against whom, and where we are behind",
        "",
        f"Of {len(found)} comparisons with other programs on the same machine, the server or its clients are"
        f" faster in {len(ahead)}, equally fast in {len(equal)} (within {SAME - 1:.0%}), and slower in"
        f" {len(behind)}. The last column says how many times as fast ours is. All that ours stores is"
        " durable, checked and listed when it is acknowledged; most of the others promise less.",
        "",
        f"![{TITLE}](performance/factors.svg)",
        "",
    ]
    for title, part in (("Faster", ahead), ("Equally fast", equal), ("Slower", behind)):
        if part:
            head = ["| work | ours | beside it | times as fast |", "| --- | --- | --- | --- |"]
            lines += [f"**{title}**", "", *head, *(one.line(record) for one in part), ""]
    return [*lines, *_reasons(behind), *_resumable(record)]


def _resumable(record: Record) -> list[str]:
    """What an upload of 1 GiB takes that can be resumed: no other program was measured in the same run."""
    try:
        python, node, bare = (
            _number(record.median(transfers.UPLOAD, name))
            for name in (transfers.PYTHON, transfers.NODE, transfers.H2LOAD)
        )
    except KeyError:
        return []
    return [
        f"In another run, an upload of 1 GiB that can be resumed (WriteStream) took {python} s by the Python"
        f" SDK, {node} s by the Node SDK, and {bare} s by h2load. GetStreamImage cannot be resumed; uploads"
        " to tusd and @tus/server can.",
        "",
    ]


def _reasons(behind: list[Comparison]) -> list[str]:
    works: dict[str, list[str]] = {}
    for one in behind:
        if one.why:
            works.setdefault(one.why, []).append(f"{one.work} ({one.peer})")
    if not works:
        return []
    reasons = [f"- {'; '.join(those)}: {why}." for why, those in works.items()]
    return ["Why it is slower there:", "", *reasons, ""]
