"""What has all its pixels is accepted, whatever stands beside them."""

import struct

import pytest

from conexiones.domain.formats import probe
from conexiones.errors import TruncatedImage, UnsupportedFormat
from tests.support import corpus, tiffs
from tests.support.corpus import chunk
from tests.support.tiffs import short

SIZE = (12, 8)
PICTURE = corpus.picture(width=SIZE[0], height=SIZE[1])

EXIF, GPS, INTEROPERABILITY, BELOW = 34665, 34853, 40965, 330


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tag", [EXIF, GPS, INTEROPERABILITY, BELOW])
def test_offsets_of_children_that_lead_among_pixels(tag: int, order: str) -> None:
    """Programs copy fields of a file without what they point to."""
    for pixels in (PICTURE.tobytes(), bytes(288), b"\xff" * 288, bytes(range(256)) + bytes(32)):
        for at in (8, 9, 100):
            entry = (tag, 4, 1, struct.pack(order + "I", at))
            assert probe(tiffs.tiff(SIZE, [pixels], entry, order=order)).width == SIZE[0]


def test_children_of_a_type_without_offsets() -> None:
    for kind in (2, 5, 7, 9, 11, 99):
        data = tiffs.tiff(SIZE, [PICTURE.tobytes()], (BELOW, kind, 1, struct.pack("<I", 8)))
        assert probe(data).width == SIZE[0]


def test_a_chain_of_pages_that_leads_among_pixels() -> None:
    data = tiffs.tiff(SIZE, [PICTURE.tobytes()])
    at = struct.unpack_from("<I", data, 4)[0]
    link = at + 2 + 12 * struct.unpack_from("<H", data, at)[0]
    junk = data[:link] + struct.pack("<I", 8) + data[link + 4 :]
    assert probe(junk).frames == 1
    with pytest.raises(TruncatedImage):
        probe(data[:link] + struct.pack("<I", len(data) + 9) + data[link + 4 :])


def test_a_child_that_is_cut_off() -> None:
    start = 8 + len(PICTURE.tobytes()) + 400
    child = tiffs.directory("<", [short("<", 40961, 1), short("<", 40962, 12), short("<", 40963, 8)], start)
    whole = tiffs.tiff(SIZE, [PICTURE.tobytes()], (EXIF, 4, 1, struct.pack("<I", start))).ljust(start, b"\0")
    assert probe(whole + child).width == SIZE[0]
    for kept in (0, 1, 2, 13, 14, 20, len(child) - 5):
        with pytest.raises(TruncatedImage):
            probe(whole + child[:kept])


@pytest.mark.parametrize("kind", ["AVIF still", "HEIF plain"])
@pytest.mark.parametrize(
    "tail",
    [
        b"\r\n",
        b"text of some program",
        b"<html>" * 30,
        b"\0" * 64,
        b"\xff" * 50,
        b"SEFH" * 9,
        b"\xff\xd8\xff\xe0",
    ],
    ids=lambda tail: tail[:8].hex(),
)
def test_bytes_after_the_boxes(kind: str, tail: bytes) -> None:
    data = next(data for name, data in corpus.images().items() if name.startswith(kind.split()[0]))
    assert probe(data + tail) == probe(data)
    with pytest.raises(TruncatedImage):
        probe(data + struct.pack(">I4s", 1000, b"mdat"))


def apng(promised: int) -> bytes:
    """A PNG of three frames that promises another number."""
    data = corpus.encoded(
        PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(90), PICTURE.rotate(180)]
    )
    at = data.index(b"acTL") - 4
    return data[:at] + chunk(b"acTL", struct.pack(">II", promised, 0)) + data[at + 20 :]


def test_a_png_has_no_more_frames_than_there_are() -> None:
    assert [probe(apng(promised)).frames for promised in (1, 2, 3, 4, 99, 2**31 - 1)] == [1, 2, 3, 3, 3, 3]


def test_what_xcode_makes_of_png_has_its_name() -> None:
    data = corpus.encoded(PICTURE, "PNG")
    with pytest.raises(UnsupportedFormat) as raised:
        probe(data[:8] + chunk(b"CgBI", b"\x50\0\x20\6") + data[8:])
    assert raised.value.facts == {"format": "PNG with CgBI"}


def test_segments_of_applications_without_a_length() -> None:
    data = corpus.encoded(PICTURE, "JPEG")
    for marker in (0xE0, 0xE5, 0xEF, 0xFE):
        for length in (0, 1):
            assert probe(data[:2] + bytes((0xFF, marker, 0, length)) + data[2:]) == probe(data)
