"""The values of TIFF fields: where they stand, and how millions of them are read in small runs."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from conexiones.domain.formats.header import Buffer, unpack
from conexiones.errors import CorruptImage, TruncatedImage

# Bytes per value of each field type (TIFF 6.0, 2; 13 is IFD of Technical Note 1, 16 to 18 are BigTIFF's).
_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_UNSIGNED = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}

_RUN = 4096

# How many times the bytes of a file may be read, and a few bytes that are always allowed. Honest files use
# each byte once, or a few times where pages share values. A hostile one could have thousands of overlapping
# directories, each as long as the file.
_READINGS = 4
_SPARE: Final = 1 << 16


class Field(NamedTuple):
    """`number` values of type `kind`, of which the first stands at `position`."""

    kind: int
    number: int
    position: int

    @property
    def bytes(self) -> int:
        """The bytes of all values. They are 0 for an unknown type."""
        return _BYTES.get(self.kind, 0) * self.number


class Values:
    """Reads fields of one file, whose byte order is `order`, within a budget that grows with the file."""

    __slots__ = ("_budget", "data", "order")

    def __init__(self, data: Buffer, order: str) -> None:
        self.data = data
        self.order = order
        self._budget = _READINGS * len(data) + _SPARE

    def spend(self, bytes: int) -> None:
        """Counts `bytes` as read. Raises CorruptImage where the same ones are read over and over."""
        self._budget -= bytes
        if self._budget < 0:
            raise CorruptImage(format="TIFF")

    def one(self, field: Field | None, default: int = 0) -> int:
        """The first value of a field of whole numbers, or `default` if there is no such field."""
        if field is None:
            return default
        if field.kind not in _UNSIGNED or not field.number:
            raise CorruptImage(format="TIFF")
        if field.position + field.bytes > len(self.data):
            raise TruncatedImage(format="TIFF")
        value: int = unpack(self.order + _UNSIGNED[field.kind], self.data, field.position)[0]
        return value

    def runs(self, field: Field, count: int | None = None) -> Iterator[tuple[int, ...]]:
        """The first `count` values of a field of whole numbers, all if None, a few thousand at a time."""
        if field.kind not in _UNSIGNED:
            raise CorruptImage(format="TIFF")
        code, width = _UNSIGNED[field.kind], _BYTES[field.kind]
        total = field.number if count is None else min(count, field.number)
        if field.position + total * width > len(self.data):
            raise TruncatedImage(format="TIFF")
        self.spend(total * width)
        for start in range(0, total, _RUN):
            run = min(_RUN, total - start)
            yield unpack(f"{self.order}{run}{code}", self.data, field.position + start * width)
