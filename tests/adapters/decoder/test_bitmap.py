"""BMP files, which are read in bands: the same pixels as Pillow has of the whole, of every kind."""

import io
import os
import random
import struct
from collections.abc import Iterator

import pytest
from PIL import Image

from conexiones.adapters.decoder.decoder_worker import loading
from conexiones.adapters.decoder.decoder_worker.refusals import Refused

SIZES = ((1, 1), (3, 2), (17, 13), (64, 5), (5, 64))
HEIGHT_AT = 22
"""Offset of the height in a BMP; a negative one means that the first row is the topmost."""


def pixels(data: bytes) -> tuple[tuple[int, int], bytes]:
    descriptor = os.memfd_create("bitmap")
    try:
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        image = loading._bitmap(descriptor, 10_000)
        return (image.width, image.height), bytes(image.write_to_memory())
    finally:
        os.close(descriptor)


def files(mode: str, size: tuple[int, int]) -> Iterator[bytes]:
    noise = Image.frombytes("RGB", size, random.Random(7).randbytes(size[0] * size[1] * 3))
    file = io.BytesIO()
    (noise.quantize(30) if mode == "P" else noise.convert(mode)).save(file, "BMP")
    data = file.getvalue()
    yield data
    upside_down = struct.pack("<i", -struct.unpack_from("<i", data, HEIGHT_AT)[0])
    yield data[:HEIGHT_AT] + upside_down + data[HEIGHT_AT + 4 :]


@pytest.mark.parametrize("band", [1, 33, 4 << 20])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bands_make_the_whole(mode: str, band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "BAND_PIXELS", band)
    for size in SIZES:
        for data in files(mode, size):
            with Image.open(io.BytesIO(data)) as whole:
                kind = "RGBA" if whole.has_transparency_data else "RGB"
                assert pixels(data) == (size, whole.convert(kind).tobytes())
            with pytest.raises(Refused, match=r"truncated|short|read"):
                pixels(data[: len(data) - 4])
