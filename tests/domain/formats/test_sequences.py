"""Sequences in AVIF and HEIF: their size, and how many frames they have."""

import io
import struct
from typing import Any

import pytest
from PIL import Image

from conexiones.domain.formats import ImageHeader, peek, probe
from conexiones.errors import CorruptImage, ImageError, TruncatedImage
from tests.support.corpus_containers import box, full
from tests.support.corpus_heic import heic, picture, sequence, track, turned


def shape(header: ImageHeader | None) -> tuple[str, int, int, int]:
    assert header
    return header.format, header.width, header.height, header.frames


def animated_avif(frames: int = 5, mode: str = "RGB") -> bytes:
    images = [Image.new(mode, (60, 40), (50 * number, 0, 99, 200)[: len(mode)]) for number in range(frames)]
    file = io.BytesIO()
    images[0].save(file, "AVIF", save_all=True, append_images=images[1:], duration=100)
    return file.getvalue()


def by_pillow(data: bytes) -> tuple[str, int, int, int]:
    with Image.open(io.BytesIO(data)) as image:
        return "AVIF", *image.size, getattr(image, "n_frames", 1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_an_avif_sequence_has_the_frames_that_another_reader_counts(frames: int, mode: str) -> None:
    data = animated_avif(frames, mode)
    with Image.open(io.BytesIO(data)) as image:
        assert (
            shape(probe(data))
            == ("AVIF", *image.size, getattr(image, "n_frames", 1))
            == ("AVIF", 60, 40, frames)
        )


def test_a_track_counts_unless_the_major_brand_is_that_of_a_still() -> None:
    for brand, expected in ((b"avif", 1), (b"mif1", 5), (b"msf1", 5)):
        data = animated_avif().replace(b"ftypavis", b"ftyp" + brand, 1)
        with Image.open(io.BytesIO(data)) as image:
            frames = getattr(image, "n_frames", 1)
            assert shape(probe(data)) == ("AVIF", *image.size, frames) == ("AVIF", 60, 40, expected)


@pytest.mark.parametrize("brand", [b"msf1", b"hevc", b"hevx"])
@pytest.mark.parametrize("wide", [False, True])
def test_a_heif_sequence(brand: bytes, wide: bool) -> None:
    samples = [picture().data] * 7
    assert shape(probe(sequence(*samples, brand=brand, wide=wide))) == ("HEIF", 96, 64, 7)
    with_item = sequence(*samples, brand=brand, primary=picture("white"), wide=wide)
    assert shape(probe(with_item)) == ("HEIF", 64, 64, 7), "readers show the primary item"


def test_a_sequence_is_turned_by_its_sample_entry() -> None:
    assert shape(probe(sequence(b"one", b"two", properties=turned(1)))) == ("HEIF", 64, 96, 2)
    assert shape(probe(sequence(b"one", b"two", properties=turned(2)))) == ("HEIF", 96, 64, 2)


def tracks(*boxes: bytes) -> bytes:
    """A sequence of which the tracks are these; its samples are anywhere in the file."""
    head = box(b"ftyp", b"msf1" + bytes(4) + b"msf1hevc")
    return head + box(b"moov", full(b"mvhd", bytes(96)) + b"".join(boxes)) + box(b"mdat", bytes(100))


def test_the_track_of_an_alpha_plane_or_of_sound_is_not_the_image() -> None:
    image = track(b"hvc1", [b"1"] * 3, 40)
    alpha = track(b"hvc1", [b"1"] * 4, 40, auxiliary_of=1)
    plane = track(b"hvc1", [b"1"] * 5, 40, handler=b"auxv")
    sound = track(b"mp4a", [b"1"] * 6, 40, handler=b"soun", width=0, height=0)
    assert shape(probe(tracks(alpha, plane, sound, image))) == ("HEIF", 96, 64, 3)
    with pytest.raises(TruncatedImage):
        probe(tracks(sound))


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"claims": 9}, CorruptImage),
        ({"claims": 0}, CorruptImage),
        ({"claims": 2**32 - 1}, CorruptImage),
        ({"width": 0}, CorruptImage),
    ],
)
def test_a_track_that_contradicts_itself(how: dict[str, Any], error: type[ImageError]) -> None:
    with pytest.raises(error):
        probe(sequence(b"one", b"two", **how))


def test_frames_that_are_not_there() -> None:
    with pytest.raises(TruncatedImage):
        probe(tracks(track(b"hvc1", [b"1"], 10_000)))
    with pytest.raises(TruncatedImage):
        probe(tracks(track(b"hvc1", [bytes(9000)], 40)))
    many = full(b"stsz", struct.pack(">II", 1 << 20, 99_999))  # as many bytes each
    data = tracks(track(b"hvc1", [], 40))
    with pytest.raises(TruncatedImage):
        probe(data.replace(full(b"stsz", struct.pack(">II", 0, 0)), many))


@pytest.mark.parametrize("data", [animated_avif(), sequence(*[b"frame"] * 4, primary=picture())])
def test_every_cut_is_refused_and_a_head_says_nothing_else(data: bytes) -> None:
    header = probe(data)
    for cut in range(len(data)):
        with pytest.raises(ImageError):
            probe(data[:cut])
        seen = peek(data[:cut])
        assert seen is None or seen == header


def test_tracks_without_end_cost_a_limited_time() -> None:
    empty = struct.pack(">I4s", 8, b"free")
    for inner in (b"trak", b"moov"):
        with pytest.raises(ImageError):
            probe(tracks(*[box(inner, b"")] * 400_000))
        with pytest.raises(ImageError):
            probe(tracks(box(b"trak", empty * 400_000)))
    sounds = track(b"mp4a", [b"1"], 40, handler=b"soun")
    with pytest.raises(CorruptImage):
        probe(tracks(*[sounds] * 20_000))


def test_a_still_with_a_movie_beside_it_is_a_still() -> None:
    movie = box(b"moov", full(b"mvhd", bytes(96)) + track(b"hvc1", [b"1"] * 9, 40))
    assert shape(probe(heic(picture(), before=movie))) == ("HEIF", 96, 64, 1)
