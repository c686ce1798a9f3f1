"""Files of many parts, for the search for those that take the longest to judge.

A grammar makes up units, such as chunks, at random, and files in which the same units follow one another over
and over. Whatever a hostile file does many times, one of these does, too.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random

from tests.support import corpus
from tests.support import corpus_containers as containers
from tests.support.corpus_heic import track

LENGTHS = (0, 1, 2, 3, 4, 7, 8, 12, 16, 60, 254, 255, 256, 1000, 4095, 5000, 65_533)


class Grammar(ABC):
    """How files of one format are made up."""

    format: str

    @abstractmethod
    def unit(self, random: Random) -> bytes:
        """A part that may follow any other."""

    @abstractmethod
    def wrapped(self, parts: bytes) -> bytes:
        """A file of these parts. It need not be accepted, but should be read to its end."""

    def file(self, units: Sequence[bytes], size: int) -> bytes:
        """A file of about `size` bytes, in which the units come again and again."""
        once = b"".join(units) or b"\0"
        return self.wrapped(once * (size // len(once)))


class Jpeg(Grammar):
    format = "JPEG"

    def unit(self, random: Random) -> bytes:
        count = random.choice(LENGTHS)
        match random.randrange(7):
            case 0:
                return (
                    b"\xff"
                    + bytes((random.choice((0xDA, 0xE0, 0xE1, 0xFE, 0xDB)),))
                    + _two(count)
                    + bytes(count)
                )
            case 1:
                exif = corpus.exif(random.randrange(10))
                return b"\xff\xe1" + _two(len(exif)) + exif
            case 2:
                return b"\xff\x01"
            case 3:
                return b"\xff" * count
            case 4:
                return b"\xff\0" * (count // 2)
            case 5:
                return b"\xff" + bytes((0xD0 + random.randrange(8),))
            case _:
                return bytes(count)

    def wrapped(self, parts: bytes) -> bytes:
        jpeg = corpus.images()["JPEG baseline"]
        return jpeg[:-2] + parts + jpeg[-2:]


def _two(count: int) -> bytes:
    return (count + 2).to_bytes(2)


class EarlyJpeg(Jpeg):
    """The units come before the first scan, where the orientation is looked for."""

    def wrapped(self, parts: bytes) -> bytes:
        jpeg = corpus.images()["JPEG baseline"]
        return jpeg[:2] + parts + jpeg[2:]


class Png(Grammar):
    format = "PNG"

    def unit(self, random: Random) -> bytes:
        count = random.choice(LENGTHS)
        kind = random.choice((b"IDAT", b"IDAT", b"tEXt", b"acTL", b"eXIf", b"PLTE", b"fdAT"))
        data = corpus.exif(random.randrange(10))[6:] if kind == b"eXIf" and count % 2 else bytes(count)
        if random.randrange(4):
            return corpus.chunk(kind, data)
        return struct.pack(">I", len(data)) + kind + data + bytes(4)

    def wrapped(self, parts: bytes) -> bytes:
        png = corpus.images()["PNG rgb"]
        return png[:-12] + parts + png[-12:]


class EarlyPng(Png):
    """The units come before the pixels, where the orientation and the frames are looked for."""

    def wrapped(self, parts: bytes) -> bytes:
        png = corpus.images()["PNG rgb"]
        return png[:33] + parts + png[33:]


class Gif(Grammar):
    format = "GIF"

    def unit(self, random: Random) -> bytes:
        kinds = [
            random.choice((1, 2, 3, 5, 17, 100, 254, 255)) for _ in range(random.choice((0, 1, 1, 2, 5)))
        ]
        blocks = b"".join((bytes((size,)) + bytes(size)) * random.choice((1, 1, 2, 40)) for size in kinds)
        if random.randrange(2):
            return b"!\xfe" + blocks + b"\0"
        flags = random.choice((0, 0x80, 0x87))
        table = bytes(3 << (flags & 7) + 1) if flags else b""
        return b"," + struct.pack("<HHHHB", 0, 0, 1, 1, flags) + table + b"\2" + blocks + b"\0"

    def wrapped(self, parts: bytes) -> bytes:
        gif = corpus.images()["GIF still"]
        return gif[:-1] + parts + gif[-1:]


class GifBlocks(Gif):
    """The units are data sub-blocks of one extension."""

    def unit(self, random: Random) -> bytes:
        size = random.choice((1, 2, 3, 5, 17, 100, 254, 255))
        return (bytes((size,)) + bytes(size)) * random.choice((1, 1, 2, 3, 40))

    def wrapped(self, parts: bytes) -> bytes:
        return super().wrapped(b"!\xfe" + parts + b"\0")


class Webp(Grammar):
    format = "WEBP"

    def unit(self, random: Random) -> bytes:
        match random.randrange(4):
            case 0:
                data = bytes(12) + struct.pack("<I", 0) + bytes(random.choice((8, 9, 40)))
                kind = b"ANMF"
            case 1:
                kind, data = b"EXIF", corpus.exif(random.randrange(10)) * random.choice((1, 100))
            case 2:
                kind, data = b"VP8L", b"\x2f" + struct.pack("<I", 0)
            case _:
                kind, data = b"JUNK", bytes(random.choice(LENGTHS))
        return kind + struct.pack("<I", len(data)) + data + bytes(len(data) & 1)

    def wrapped(self, parts: bytes) -> bytes:
        body = b"WEBPVP8X\x0a\0\0\0" + b"\x0a" + bytes(9) + parts
        return b"RIFF" + struct.pack("<I", len(body)) + body


class Heif(Grammar):
    """The units are boxes in one of the places that have any number of them."""

    format = "HEIF"
    place = "file"

    def unit(self, random: Random) -> bytes:
        kind = random.choice((b"free", b"ispe", b"irot", b"clap", b"ipma", b"mdat"))
        content = bytes(random.choice(LENGTHS[:12]))
        if random.randrange(4) == 0:
            return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
        return containers.box(kind, content)

    def wrapped(self, parts: bytes) -> bytes:
        heif = containers.heif(b"heic", in_idat=True)
        if self.place == "file":
            return heif + parts
        meta = heif.index(b"meta") - 4
        if self.place == "meta":
            return heif[:meta] + containers.box(b"meta", heif[meta + 8 :] + parts)
        iprp = heif.index(b"iprp") - 4
        (size,) = struct.unpack_from(">I", heif, iprp)
        inner = heif[iprp + 8 : iprp + size]
        ipco = struct.unpack_from(">I", inner)[0]
        shelf, rest = inner[8:ipco], inner[ipco:]
        if self.place == "ipco":
            inner = containers.box(b"ipco", shelf + parts) + rest
        else:
            inner += parts
        content = heif[meta + 8 : iprp] + containers.box(b"iprp", inner) + heif[iprp + size :]
        return heif[:meta] + containers.box(b"meta", content)


class HeifMeta(Heif):
    place = "meta"


class HeifProperties(Heif):
    place = "ipco"


class HeifAssociations(Heif):
    place = "iprp"


class HeifItems(Heif):
    """The units are items, with their extents, in the table of places; or of properties."""

    def unit(self, random: Random) -> bytes:
        extents = random.choice((0, 1, 2, 100, 65_535))
        return struct.pack(">HHHH", 2, 0, 0, extents) + bytes(8 * extents)

    def wrapped(self, parts: bytes) -> bytes:
        heif = containers.heif(b"heic", in_idat=True)
        table = struct.pack(">BBH", 0x44, 0, 65_535) + parts[: 3 << 20]
        meta = heif.index(b"meta") - 4
        iloc = heif.index(b"iloc") - 4
        (size,) = struct.unpack_from(">I", heif, iloc)
        content = heif[meta + 8 : iloc] + containers.full(b"iloc", table, 1) + heif[iloc + size :]
        return heif[:meta] + containers.box(b"meta", content)


class HeifUses(Heif):
    """The units are entries in the table that gives properties to items."""

    def unit(self, random: Random) -> bytes:
        uses = random.choice((0, 0, 1, 255))
        return struct.pack(">HB", random.choice((1, 2, 2, 2)), uses) + b"\1" * uses

    def wrapped(self, parts: bytes) -> bytes:
        heif = containers.heif(b"heic", in_idat=True)
        meta = heif.index(b"meta") - 4
        iprp = heif.index(b"iprp") - 4
        (size,) = struct.unpack_from(">I", heif, iprp)
        inner = heif[iprp + 8 : iprp + size]
        shelf = inner[: struct.unpack_from(">I", inner)[0]]
        table = containers.full(b"ipma", struct.pack(">I", 2**32 - 1) + parts[:300_000])
        content = heif[meta + 8 : iprp] + containers.box(b"iprp", shelf + table * 4) + heif[iprp + size :]
        return heif[:meta] + containers.box(b"meta", content)


class HeifTracks(Heif):
    """The units are tracks of a sequence, none of which is the one that is looked for."""

    def unit(self, random: Random) -> bytes:
        content = bytes(random.choice(LENGTHS[:12]))
        if random.randrange(4) == 0:
            return containers.box(b"trak", containers.box(b"free", content))
        return track(
            b"hvc1", [b"1"] * len(content), 40, handler=random.choice((b"soun", b"pict")), auxiliary_of=1
        )

    def wrapped(self, parts: bytes) -> bytes:
        return containers.heif(b"msf1", in_idat=True) + containers.box(b"moov", parts)


class Tiff(Grammar):
    """The units are pages: directories with their tables of values, before or after them, or far away."""

    format = "TIFF"

    def unit(self, random: Random) -> bytes:
        # Of a page: its order among others, further entries, strips, and where values stand.
        return struct.pack(
            "<BHIB",
            random.randrange(4),
            random.choice((0, 0, 1, 10, 200, 2000)),
            random.choice((1, 1, 1, 10, 1000, 100_000)),
            random.randrange(8),
        )

    def wrapped(self, parts: bytes) -> bytes:
        raise NotImplementedError

    def file(self, units: Sequence[bytes], size: int) -> bytes:
        pages = [struct.unpack("<BHIB", unit) for unit in units] or [(0, 0, 1, 0)]
        out = bytearray(b"II*\0" + bytes(4))
        last, number = 4, 0
        longest = max(strips for _, _, strips, _ in pages)
        tables = len(out)
        out += bytes(8 * longest + 8)  # offsets and lengths of 0, which are inside any file
        ends = max(0, size - 4096)
        while len(out) < size - 4096 or not number:
            _, more, strips, far = pages[number % len(pages)]
            number += 1
            at = len(out)
            struct.pack_into("<I", out, last, at)
            where = tables if far & 1 else ends
            where = min(where, max(8, size - 4 * strips - 8))
            # With two values, a field is where its value says, and no longer in its entry.
            twice = 2 if far & 2 else 1
            fields = [(256, 4, twice, where if far & 2 else 1), (257, 4, 1, strips), (278, 4, 1, 1)]
            fields += [(273, 4, strips, where), (279, 4, strips, where)]
            fields += [(tag, 3, twice, where if far & 2 else 1) for tag in (274, 277, 284)]
            fields += [(330, 4, 2, tables)] if far & 4 else []
            fields += [(40_000 + entry % 20_000, 4, 2, tables) for entry in range(more)]
            out += struct.pack("<H", len(fields))
            out += b"".join(struct.pack("<HHII", *field) for field in fields)
            last = len(out)
            out += bytes(4)
        # Values of 1 at the far end: a width, a number of samples.
        out += struct.pack("<I", 1) * ((size - len(out)) // 4 if size > len(out) else 0)
        return bytes(out)


class Bmp(Grammar):
    """There is nothing in a BMP of which it may have many."""

    format = "BMP"

    def unit(self, random: Random) -> bytes:
        return random.randbytes(random.choice(LENGTHS[:8]))

    def wrapped(self, parts: bytes) -> bytes:
        return containers.bmp_header(40, 9, 9, 8, 1, len(parts), 54) + parts


GRAMMARS: dict[str, Grammar] = {
    kind.__name__: kind()
    for kind in (
        Jpeg, EarlyJpeg, Png, EarlyPng, Gif, GifBlocks, Webp, Heif, HeifMeta, HeifProperties,
        HeifAssociations, HeifItems, HeifUses, HeifTracks, Tiff, Bmp,
    )
}  # fmt: skip
