"""The bytes of places, read ahead as far as there is memory for it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import NamedTuple

from conexiones.adapters.blobs.s3.objects import Objects
from conexiones.adapters.blobs.s3.rows import Place
from conexiones.adapters.blobs.s3.sums import PIECE, check_piece, pieces_of
from conexiones.errors import BlobCorrupt

AHEAD = 4
"""Pieces that are asked for ahead of the one that is given, by each reader."""

AHEAD_OF_ALL = 64
"""The same of all readers together."""


class Piece(NamedTuple):
    """A piece of a place that has a checksum: the bytes from `at` on."""

    place: Place
    number: int

    @property
    def at(self) -> int:
        return self.place.at + self.number * PIECE

    @property
    def start(self) -> int:
        """Where it begins in the object."""
        return self.place.start + self.number * PIECE

    @property
    def size(self) -> int:
        return min(PIECE, self.place.size - self.number * PIECE)

    def checked(self, data: bytes) -> bytes:
        """The bytes, which have to be those of the piece. Raises BlobCorrupt."""
        check_piece(self.place.sums, self.number, data)
        return data


def pieces_from(places: Sequence[Place], offset: int) -> Iterator[Piece]:
    """The pieces with the bytes from an offset on. Raises BlobCorrupt where some have no place."""
    at = offset
    for place in places:
        if place.at > at:
            raise BlobCorrupt
        if place.end > at:
            first = (at - place.at) // PIECE
            yield from (Piece(place, number) for number in range(first, pieces_of(place.size)))
            at = place.end


class Reading:
    """Reads pieces of objects, and checks them. Belongs to one event loop."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._ahead = 0

    async def get(self, piece: Piece) -> bytes:
        """Raises ObjectGone, BlobCorrupt and StorageUnavailable."""
        return piece.checked(await self._objects.get(piece.place.object, piece.start, piece.size))

    async def all(self, pieces: Iterator[Piece]) -> AsyncGenerator[tuple[Piece, bytes], None]:
        """Each piece with its bytes. The more of them were given, the further it reads ahead."""
        waiting: deque[tuple[Piece, asyncio.Task[bytes]]] = deque()
        depth = 1
        try:
            while True:
                while len(waiting) < depth and (not waiting or self._ahead < AHEAD_OF_ALL):
                    piece = next(pieces, None)
                    if piece is None:
                        break
                    self._ahead += bool(waiting)
                    waiting.append((piece, asyncio.create_task(self.get(piece))))
                if not waiting:
                    return
                piece, task = waiting[0]
                data = await task
                waiting.popleft()
                self._ahead -= bool(waiting)  # the next one counts no more as read ahead
                del task
                yield piece, data
                del data  # the next one comes in its place
                depth = min(1 + AHEAD, depth * 2)
        finally:
            self._ahead -= max(0, len(waiting) - 1)
            for _, task in waiting:
                task.cancel()
                task.add_done_callback(_seen)


def _seen(task: "asyncio.Task[bytes]") -> None:
    """Takes note of an error that nobody waits for."""
    if not task.cancelled():
        task.exception()
