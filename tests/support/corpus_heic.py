"""HEIC files that show a picture: those of an encoder, and others put together from its bitstreams."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.corpus_containers import box, full

FOLDER = Path(__file__).parent / "heic"

NAMES = sorted(path.stem for path in FOLDER.glob("*.heic"))


def encoded(name: str) -> bytes:
    """A file of an encoder. The README in its folder says what it shows."""
    return (FOLDER / f"{name}.heic").read_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item of a file. The first is number 1. `words` are its media type, if its kind is `mime`."""

    data: bytes
    kind: bytes = b"hvc1"
    properties: tuple[bytes, ...] = ()
    hidden: bool = False
    words: bytes = b""

    def with_properties(self, *more: bytes) -> "Item":
        return replace(self, properties=(*self.properties, *more))


def picture(name: str = "plain") -> Item:
    """The only item of an encoder's file, with its size and configuration."""
    data = encoded(name)

    def whole(kind: bytes) -> bytes:
        at = data.index(kind) - 4
        return data[at : at + int.from_bytes(data[at : at + 4])]

    return Item(data=whole(b"mdat")[8:], properties=(whole(b"hvcC"), whole(b"ispe")))


def size(width: int, height: int) -> bytes:
    return full(b"ispe", struct.pack(">II", width, height))


def turned(quarters: int) -> bytes:
    """irot: turned anticlockwise."""
    return box(b"irot", bytes((quarters,)))


def mirrored(axis: int) -> bytes:
    """imir: 0 exchanges top and bottom, 1 exchanges left and right."""
    return box(b"imir", bytes((axis,)))


def cut(width: int, height: int, right: int = 0, down: int = 0) -> bytes:
    """clap: width × height pixels, whose centre is that of the image moved by so many half pixels."""
    return box(b"clap", struct.pack(">8i", width, 1, height, 1, right, 2, down, 2))


def code_points(primaries: int = 1, transfer: int = 13, matrix: int = 6, *, full_range: bool) -> bytes:
    """colr: what the samples mean, in code points of ISO/IEC 23091-2."""
    return box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, matrix, 0x80 * full_range))


def auxiliary(kind: str) -> bytes:
    return full(b"auxC", kind.encode() + b"\0")


def grid(columns: int, rows: int, width: int, height: int) -> Item:
    """An image of tiles. It refers to them by `dimg`."""
    data = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)
    return Item(data=data, kind=b"grid", properties=(size(width, height),))


def heic(
    *items: Item,
    primary: int = 1,
    references: Sequence[tuple[bytes, int, Sequence[int]]] = (),
    brand: bytes = b"heic",
    before: bytes = b"",
) -> bytes:
    """A file of these items. References are of a kind, from an item, to others. `before` is what comes before
    the pixels, such as a moov box."""
    shelf: list[bytes] = []
    uses = b""
    for number, item in enumerate(items, 1):
        shelf += [each for each in item.properties if each not in shelf]
        places = [shelf.index(each) + 1 for each in item.properties]
        uses += struct.pack(f">HB{len(places)}B", number, len(places), *(0x80 | place for place in places))
    names = b"".join(
        full(b"infe", struct.pack(">HH4sB", number, 0, item.kind, 0) + item.words, 2, int(item.hidden))
        for number, item in enumerate(items, 1)
    )
    tables = [
        full(b"hdlr", bytes(4) + b"pict" + bytes(13)),
        full(b"pitm", struct.pack(">H", primary)),
        full(b"iinf", struct.pack(">H", len(items)) + names),
    ]
    if references:
        links = b"".join(
            box(kind, struct.pack(f">HH{len(to)}H", source, len(to), *to)) for kind, source, to in references
        )
        tables.append(full(b"iref", links))
    ipma = full(b"ipma", struct.pack(">I", len(items)) + uses)
    tables.append(box(b"iprp", box(b"ipco", b"".join(shelf)) + ipma))

    def meta(start: int) -> bytes:
        places = b""
        for number, item in enumerate(items, 1):
            places += struct.pack(">HHHII", number, 0, 1, start, len(item.data))
            start += len(item.data)
        iloc = full(b"iloc", struct.pack(">BBH", 0x44, 0, len(items)) + places)
        return full(b"meta", b"".join((*tables, iloc)))

    head = box(b"ftyp", brand + bytes(4) + b"mif1" + brand)
    start = len(head) + len(meta(0)) + len(before) + 8
    return head + meta(start) + before + box(b"mdat", b"".join(item.data for item in items))


def track(
    entry: bytes,
    samples: Sequence[bytes],
    start: int,
    *,
    width: int = 96,
    height: int = 64,
    handler: bytes = b"pict",
    properties: bytes = b"",
    auxiliary_of: int = 0,
    wide: bool = False,
    claims: int | None = None,
) -> bytes:
    """A trak box, whose samples follow each other from the position `start` on in one chunk. `entry` is the
    kind of its pictures; `claims` is another number of samples to put there."""
    count = len(samples) if claims is None else claims
    visual = bytes(6) + struct.pack(">H16xHH", 1, width, height) + bytes(50) + properties
    sizes = struct.pack(f">{len(samples)}I", *map(len, samples))
    table = (
        full(b"stsd", struct.pack(">I", 1) + box(entry, visual))
        + full(b"stts", struct.pack(">III", 1, count, 100))
        + full(b"stsc", struct.pack(">IIII", 1, 1, count, 1))
        + full(b"stsz", struct.pack(">II", 0, count) + sizes)
        + full(b"co64" if wide else b"stco", struct.pack(">IQ" if wide else ">II", 1, start))
    )
    media = (
        full(b"mdhd", struct.pack(">IIIIHH", 0, 0, 1000, 0, 0, 0))
        + full(b"hdlr", bytes(4) + handler + bytes(13))
        + box(b"minf", full(b"vmhd", bytes(8), 0, 1) + box(b"stbl", table))
    )
    times = struct.pack(">QQIIQ", 0, 0, 1, 0, 0) if wide else struct.pack(">IIIII", 0, 0, 1, 0, 0)
    tkhd = full(b"tkhd", times + bytes(16 + 36) + struct.pack(">II", width << 16, height << 16), int(wide), 7)
    tref = box(b"tref", box(b"auxl", struct.pack(">I", auxiliary_of))) if auxiliary_of else b""
    return box(b"trak", tkhd + tref + box(b"mdia", media))


def sequence(*samples: bytes, brand: bytes = b"hevc", primary: Item | None = None, **how: Any) -> bytes:
    """A file with a track of these samples; with `primary` it has that item besides."""
    entry = b"av01" if brand == b"avis" else b"hvc1"

    def moov(start: int) -> bytes:
        movie = full(b"mvhd", bytes(96))
        return box(b"moov", movie + track(entry, samples, start, **how))

    joined = b"".join(samples)
    if primary:
        length = len(heic(primary, brand=brand, before=moov(0)))
        return heic(primary, brand=brand, before=moov(length + 8)) + box(b"mdat", joined)
    head = box(b"ftyp", brand + bytes(4) + b"msf1" + brand)
    start = len(head) + len(moov(0)) + 8
    return head + moov(start) + box(b"mdat", joined)
