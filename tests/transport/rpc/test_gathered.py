"""A message that is gathered from pieces."""

import random

import pytest

from conexiones.transport.rpc.gathered import MAPPED, Gathered


@pytest.mark.parametrize("size", [0, 1, 1000, MAPPED - 1, MAPPED, MAPPED + 1])
def test_its_pieces_are_the_whole(size: int) -> None:
    rng = random.Random(size)
    content = rng.randbytes(size)
    gathered = Gathered(size)
    at = 0
    while gathered.missing:
        assert gathered.missing == size - at
        piece = content[at : at + rng.randrange(1, max(2, size // 3))]
        gathered.add(memoryview(piece) if rng.random() < 0.5 else piece)
        at += len(piece)
    assert gathered.whole() == content


@pytest.mark.parametrize("size", [1000, MAPPED])
def test_it_may_end_before_it_is_full(size: int) -> None:
    gathered = Gathered(size)
    gathered.add(b"abc")
    assert (gathered.missing, bytes(gathered.whole())) == (size - 3, b"abc")
