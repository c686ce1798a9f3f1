"""Whether bytes are those that the client says it sent."""

import google_crc32c

from conexiones.errors import ChecksumMismatch

_PIECE = 256 << 10


def check_crc32c(data: bytes | memoryview, told: int | None, *, field: str) -> None:
    """Raises ChecksumMismatch if the client told another CRC-32C; None if it told none."""
    if told is not None and (actual := _crc32c(data)) != told:
        raise ChecksumMismatch(
            field=field, algorithm="CRC-32C", expected=f"{told:08x}", actual=f"{actual:08x}"
        )


def check_sha256(actual: bytes, told: bytes, *, field: str = "") -> None:
    """Raises ChecksumMismatch if the client told another SHA-256; empty if it told none."""
    if told and actual != told:
        raise ChecksumMismatch(field=field, algorithm="SHA-256", expected=told.hex(), actual=actual.hex())


def _crc32c(data: bytes | memoryview) -> int:
    """The CRC-32C, of pieces one after the other: the library wants bytes, and a copy of many would take
    long."""
    if isinstance(data, bytes) and len(data) <= _PIECE:
        return int(google_crc32c.value(data))
    found = 0
    for begin in range(0, len(data), _PIECE):
        found = google_crc32c.extend(found, bytes(data[begin : begin + _PIECE]))
    return int(found)
