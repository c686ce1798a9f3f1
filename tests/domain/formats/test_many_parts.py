"""Files of very many short parts: what is copied out of a file to judge them grows with the file alone."""

import io
from typing import overload

import pytest
from PIL import Image

from conexiones.domain.formats import probe
from conexiones.domain.formats.header import FIRST_WINDOW

PARTS = 20_000


class Counted:
    """The content of a file. `copied` counts the bytes that were copied out of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.copied = 0

    def __len__(self) -> int:
        return len(self._data)

    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    def __getitem__(self, key: int | slice, /) -> int | bytes:
        found = self._data[key]
        self.copied += len(found) if isinstance(found, bytes) else 1
        return found


def encoded(format: str) -> bytes:
    file = io.BytesIO()
    Image.new("P" if format == "GIF" else "L", (16, 16), 1).save(file, format)
    return file.getvalue()


def jpeg_of_many_scans() -> bytes:
    jpeg = encoded("JPEG")
    scan = jpeg[jpeg.index(b"\xff\xda") : -2]
    return jpeg[:-2] + scan * PARTS + jpeg[-2:]


def gif_of_many_frames() -> bytes:
    gif = encoded("GIF")
    frame = gif[gif.index(b"\x2c") : -1]
    return gif[:-1] + frame * PARTS + gif[-1:]


@pytest.mark.parametrize("made", [jpeg_of_many_scans, gif_of_many_frames])
def test_each_part_costs_a_short_window_at_most(made) -> None:
    content = Counted(made())
    header = probe(content)
    assert header == probe(made())
    assert content.copied < (PARTS + 100) * (FIRST_WINDOW + 100)
