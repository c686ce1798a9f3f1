"""The readers of every image format: whole files in memory and as files, and first bytes."""

import os
import struct
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from conexiones.adapters.blobs.local.file_view import FileView
from conexiones.direct_file import DirectFile
from conexiones.domain.formats import HEAD_BYTES, ImageHeader, peek, probe
from conexiones.errors import ImageError
from conexiones.ports.staging import Content
from conexiones.samples import hostile_samples, samples
from tests.adapters.decoder.workers import animated_avif
from tests.fuzz.target import MAX_BYTES, Check, Target
from tests.support import corpus, corpus_heic

_MEMORY = Path("/dev/shm")  # files here cost no wear of a disk


def seeds() -> Sequence[bytes]:
    sound = [*corpus.images().values(), *corpus.bombs().values(), *(sample.data for sample in samples())]
    sound += [corpus_heic.encoded(name) for name in corpus_heic.NAMES]
    sound += [corpus_heic.sequence(*[corpus_heic.picture().data] * 2), animated_avif()]
    broken = [*(data for data, _ in corpus.broken().values()), *(sample.data for sample in hostile_samples())]
    return [data for data in (*sound, *broken) if len(data) <= MAX_BYTES // 4]


def mended(png: bytes) -> bytes:
    """A PNG with the right CRC in every chunk: with wrong ones nearly all inputs would end at the first."""
    out, at = bytearray(png), 8
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        end = at + 8 + length
        if end + 4 > len(png):
            break
        out[end : end + 4] = struct.pack(">I", zlib.crc32(png[at + 4 : end]))
        at = end + 4
    return bytes(out)


def _seen(content: Content) -> ImageHeader | type[ImageError]:
    """The header, or the class of the error. All other exceptions are faults."""
    try:
        header = probe(content)
    except ImageError as refused:
        error = refused
    else:
        assert min(header.width, header.height, header.frames) > 0
        return header
    assert error.message
    assert error.mensaje
    return type(error)


def check_one(data: bytes, file: DirectFile) -> None:
    header = _seen(data)
    os.ftruncate(file.descriptor, 0)
    os.pwrite(file.descriptor, data, 0)
    with closing(FileView(file, len(data))) as view:
        assert _seen(view) == header
    answered = False
    for length in (HEAD_BYTES - 1, HEAD_BYTES, 256, 1024, 4096, len(data)):
        try:
            first = peek(data[:length])
        except ImageError:
            assert not isinstance(header, ImageHeader), "what may be refused early is no image"
            return
        if first is None:
            assert not answered, "an answer was withdrawn"
        elif isinstance(header, ImageHeader):
            answered = True
            assert (first.format, first.width, first.height) == (header.format, header.width, header.height)


@contextmanager
def opened() -> Iterator[Check]:
    where = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="conexiones-fuzz-", dir=where) as folder:
        file = DirectFile(Path(folder) / "image", os.O_CREAT)

        def check(data: bytes) -> None:
            check_one(data, file)
            if data[:8] == b"\x89PNG\r\n\x1a\n" and (right := mended(data)) != data:
                check_one(right, file)

        try:
            yield check
        finally:
            file.close()


TARGET = Target(
    name="formats",
    seeds=seeds,
    opened=opened,
    seconds=0.2,
    words=(
        b"\xff\xd8\xff", b"\xff\xda\0\x08", b"\xff\xd9", b"\xff\x01", b"\xff\xd0", b"\xff\0", b"Exif\0\0",
        b"II*\0", b"MM\0*", b"\x89PNG\r\n\x1a\n", b"IDAT", b"IEND", b"eXIf", b"acTL", b"PLTE", b"GIF89a",
        b"\x21\xf9\x04", b"\x2c", b"RIFF", b"WEBPVP8X", b"ANMF", b"VP8L", b"VP8 ", b"ftypavif", b"ftypheic",
        b"meta", b"iprp", b"ipco", b"ipma", b"iloc", b"pitm", b"ispe", b"irot", b"clap", b"idat", b"BM",
        b"ftypavis", b"ftypmsf1", b"moov", b"trak", b"tkhd", b"mdia", b"hdlr", b"pict", b"minf", b"stbl",
        b"stsd", b"stsz", b"stco", b"co64",
    ),
)  # fmt: skip
