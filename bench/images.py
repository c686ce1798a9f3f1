"""Images of any size, as BMP, and the bodies of calls that carry them, built before anything is timed."""

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from random import Random

from google.protobuf.message import Message

from conexiones.gen.user_pb2 import GetImage

BLOCK = 4 << 20
"""Bytes of the noise that is repeated: as many as the local limit has in one buffer."""

_HEAD = struct.Struct("<2sIHHIIiiHHIIiiII")


@dataclass(frozen=True)
class Picture:
    """A BMP of 24 bits a pixel of about `about` bytes, at least 1 kB. Another `seed` makes another image."""

    about: int
    seed: tuple[int, int] = (0, 0)

    @property
    def _sides(self) -> tuple[int, int]:
        """Pixels: width, a multiple of 4 so that rows have no padding, and height."""
        width = max(4, round((self.about / 3) ** 0.5) // 4 * 4)
        return width, max(1, (self.about - _HEAD.size) // (3 * width))

    @property
    def size(self) -> int:
        """Bytes."""
        width, height = self._sides
        return _HEAD.size + 3 * width * height

    @property
    def head(self) -> bytes:
        """The first bytes, in which alone the seed shows: it stands where the resolution does."""
        width, height = self._sides
        pixels = self.size - _HEAD.size
        return _HEAD.pack(
            b"BM", self.size, 0, 0, _HEAD.size, 40, width, height, 1, 24, 0, pixels, *self.seed, 0, 0
        )

    def pieces(self, length: int = BLOCK) -> Iterator[bytes]:
        """The bytes, in pieces of `length`; all but the first and the last of BLOCK are the same."""
        noise = _noise()
        position, carry = 0, self.head
        while position < self.size:
            missing = min(length, self.size - position)
            while len(carry) < missing:
                carry += noise
            yield carry[:missing]
            carry = carry[missing:]
            position += missing

    @property
    def data(self) -> bytes:
        if self.size <= BLOCK:
            return self.head + _noise()[: self.size - _HEAD.size]
        return b"".join(self.pieces())

    @cached_property
    def digest(self) -> bytes:
        """SHA-256."""
        if self.size <= BLOCK:
            return hashlib.sha256(self.data).digest()
        sha = hashlib.sha256()
        for piece in self.pieces():
            sha.update(piece)
        return sha.digest()


def framed(message: Message) -> bytes:
    """A message as gRPC sends it: a byte that says uncompressed, four of length, the message."""
    data = message.SerializeToString()
    return b"\0" + struct.pack(">I", len(data)) + data


def write(picture: Picture, path: Path) -> Path:
    """The image as a file."""
    with path.open("wb") as file:
        for piece in picture.pieces():
            file.write(piece)
    return path


def write_fragments(picture: Picture, path: Path, *, fragment: int) -> Path:
    """The body of a GetStreamImage whose messages have `fragment` bytes of the image each."""
    with path.open("wb", buffering=1 << 20) as file:
        for piece in picture.pieces(fragment):
            file.write(framed(GetImage(image=piece)))
    return path


def touch(path: Path) -> None:
    """Makes a file ready to be sent: on disk, or the system would write a new one while time counts; and
    read, so that whoever sends it need not wait for the disk."""
    buffer = memoryview(bytearray(1 << 20))
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        while file.readinto(buffer):
            pass


@cache
def _noise() -> bytes:
    return Random(20).randbytes(BLOCK)
