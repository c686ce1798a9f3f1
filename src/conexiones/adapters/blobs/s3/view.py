"""Bytes that are in objects, for those who look at them in a thread."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from operator import attrgetter
from typing import overload

from conexiones.adapters.blobs.s3.objects import ObjectGone, Objects
from conexiones.adapters.blobs.s3.reading import Piece
from conexiones.adapters.blobs.s3.rows import Place
from conexiones.adapters.blobs.s3.sums import PIECE
from conexiones.errors import BlobCorrupt

KEPT = 4
"""Pieces that stay in memory."""


class View:
    """A Content: the bytes of places, one behind the other from 0 on, and `tail` behind them. Each piece that
    is looked at is checked. Looking raises BlobCorrupt and StorageUnavailable."""

    def __init__(self, objects: Objects, places: Sequence[Place], tail: bytes = b"") -> None:
        self._objects = objects
        self._places = places
        self._tail = tail
        self._stored = places[-1].end if places else 0
        self._pieces: OrderedDict[int, bytes] = OrderedDict()  # by where they begin

    def __len__(self) -> int:
        return self._stored + len(self._tail)

    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    def __getitem__(self, key: int | slice, /) -> int | bytes:
        if isinstance(key, int):
            at = key + len(self) if key < 0 else key
            if not 0 <= at < len(self):
                raise IndexError(key)
            return self._read(at, at + 1)[0]
        start, stop, step = key.indices(len(self))
        found = self._read(start, stop) if step > 0 else b""
        return found if step == 1 else self._stepped(key)

    def _stepped(self, key: slice) -> bytes:
        return bytes(self[at] for at in range(*key.indices(len(self))))

    def _read(self, start: int, stop: int) -> bytes:
        found = []
        at = start
        while at < min(stop, self._stored):
            place = self._places[bisect_right(self._places, at, key=attrgetter("at")) - 1]
            piece = Piece(place, (at - place.at) // PIECE)
            skip = at - piece.at
            taken = self._bytes_of(piece)[skip : skip + stop - at]
            found.append(taken)
            at += len(taken)
        if stop > self._stored:
            found.append(self._tail[max(0, start - self._stored) : stop - self._stored])
        return found[0] if len(found) == 1 else b"".join(found)

    def _bytes_of(self, piece: Piece) -> bytes:
        if (kept := self._pieces.get(piece.at)) is not None:
            self._pieces.move_to_end(piece.at)
            return kept
        try:
            data = piece.checked(self._objects.get_now(piece.place.object, piece.start, piece.size))
        except ObjectGone as error:
            raise BlobCorrupt from error
        self._pieces[piece.at] = data
        while len(self._pieces) > KEPT:
            self._pieces.popitem(last=False)
        return data
