"""Inputs made of other inputs, for targets whose branches cannot be watched."""

import random
from collections.abc import Sequence

VALUES = (
    b"\0",
    b"\1",
    b"\x7f",
    b"\x80",
    b"\xff",
    bytes(4),
    b"\xff\xff",
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff" * 8,
)
"""Numbers at which programs often go wrong."""


def mutated(seeds: Sequence[bytes], words: Sequence[bytes], random: random.Random, limit: int) -> bytes:
    """One of the seeds with one to eight changes, of at most `limit` bytes."""
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 2, 3, 5, 8))):
        # Most structure is at the front; the end has some, too.
        reach = min(random.choice((32, 300, 3000, len(data) or 1)), len(data) or 1)
        at = random.randrange(reach)
        if not random.randrange(6):
            at = max(0, len(data) - 1 - at)
        _CHANGES[random.randrange(len(_CHANGES))](data, at, seeds, words, random)
        del data[limit:]
    return bytes(data)


def _flip(
    data: bytearray, at: int, seeds: Sequence[bytes], words: Sequence[bytes], random: random.Random
) -> None:
    data[at : at + 1] = bytes(byte ^ 1 << random.randrange(8) for byte in data[at : at + 1])


def _value(
    data: bytearray, at: int, seeds: Sequence[bytes], words: Sequence[bytes], random: random.Random
) -> None:
    value = random.choice(VALUES)
    data[at : at + len(value)] = value


def _word(
    data: bytearray, at: int, seeds: Sequence[bytes], words: Sequence[bytes], random: random.Random
) -> None:
    word = random.choice(words) if words else random.randbytes(random.randint(1, 9))
    data[at : at + random.choice((0, len(word)))] = word


def _delete(
    data: bytearray, at: int, seeds: Sequence[bytes], words: Sequence[bytes], random: random.Random
) -> None:
    del data[at : at + random.choice((1, 2, 4, 12, 40, 300))]


def _repeat(
    data: bytearray, at: int, seeds: Sequence[bytes], words: Sequence[bytes], random: random.Random
) -> None:
    size = random.choice((1, 2, 8, 12, 40, 300))
    data[at:at] = data[at : at + size] * random.choice((1, 2, 10, 100))


def _splice(
    data: bytearray, at: int, seeds: Sequence[bytes], words: Sequence[bytes], random: random.Random
) -> None:
    other = random.choice(seeds)
    start = random.randrange(len(other) or 1)
    data[at : at + random.choice((0, 4, 100))] = other[start : start + random.randint(1, 300)]


_CHANGES = (_flip, _flip, _value, _value, _word, _delete, _repeat, _splice)
