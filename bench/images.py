"""BMP images of any size, and the bodies of calls that carry them, built before anything is timed."""

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
"""Bytes of the noise that is repeated, as many as one buffer of the local limit (limits.py) holds."""

_HEAD = struct.Struct("<2sIHHIIiiHHIIiiII")


@dataclass(frozen=True)
class Picture:
    """A BMP with 24 bits per pixel and about `about` bytes, at least 1 kB. Another `seed` makes another
    image."""

    about: int
    seed: tuple[int, int] = (0, 0)

    @property
    def _sides(self) -> tuple[int, int]:
        """Width and height in pixels. The width is a multiple of 4, so that rows need no padding."""
        width = max(4, round((self.about / 3) ** 0.5) // 4 * 4)
        return width, max(1, (self.about - _HEAD.size) // (3 * width))

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        width, height = self._sides
        return _HEAD.size + 3 * width * height

    @property
    def head(self) -> bytes:
        """The header, the only part that depends on the seed, which is stored in place of the resolution."""
        width, height = self._sides
        pixels = self.size - _HEAD.size
        return _HEAD.pack(
            b"BM", self.size, 0, 0, _HEAD.size, 40, width, height, 1, 24, 0, pixels, *self.seed, 0, 0
        )

    def pieces(self, length: int = BLOCK) -> Iterator[bytes]:
        """The bytes, in pieces of `length`. With BLOCK, all pieces but the first and the last are equal."""
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
        """The SHA-256 of the file."""
        if self.size <= BLOCK:
            return hashlib.sha256(self.data).digest()
        sha = hashlib.sha256()
        for piece in self.pieces():
            sha.update(piece)
        return sha.digest()


def framed(message: Message) -> bytes:
    """A message as gRPC sends it: a byte that says "uncompressed", four bytes of length, and the message."""
    data = message.SerializeToString()
    return b"\0" + struct.pack(">I", len(data)) + data


def write(picture: Picture, path: Path) -> Path:
    """Writes the image to a file."""
    with path.open("wb") as file:
        for piece in picture.pieces():
            file.write(piece)
    return path


def write_fragments(picture: Picture, path: Path, *, fragment: int) -> Path:
    """Writes the body of a GetStreamImage call whose messages carry `fragment` bytes of the image each."""
    with path.open("wb", buffering=1 << 20) as file:
        for piece in picture.pieces(fragment):
            file.write(framed(GetImage(image=piece)))
    return path


def touch(path: Path) -> None:
    """Makes a file ready to be sent. It is synced, so that the system does not write it while time is
    measured, and read, so that sending it does not wait for the disk."""
    buffer = memoryview(bytearray(1 << 20))
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        while file.readinto(buffer):
            pass


@cache
def _noise() -> bytes:
    return Random(20).randbytes(BLOCK)
