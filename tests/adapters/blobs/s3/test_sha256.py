"""A SHA-256 that another process goes on with."""

import hashlib
import random

import pytest

from conexiones.adapters.blobs.s3 import sha256
from conexiones.adapters.blobs.s3.sha256 import Sha256
from tests.adapters.blobs.contents import content
from tests.support.lengths import examples

DATA = content(200_000)


def test_it_goes_on_from_any_byte() -> None:
    assert sha256.library() is not None
    rng = random.Random(3)
    cuts = [0, 1, 55, 56, 63, 64, 65, 128, *(rng.randrange(len(DATA)) for _ in range(examples(50)))]
    for cut in cuts:
        first = Sha256()
        first.update(DATA[:cut])
        second = Sha256.resumed(first.state, cut)
        assert second is not None
        second.update(bytearray(DATA[cut:]))
        assert second.digest() == hashlib.sha256(DATA).digest()
        assert second.size == len(DATA)
        assert first.digest() == hashlib.sha256(DATA[:cut]).digest()


def test_what_is_no_state_is_not_gone_on_with() -> None:
    sha = Sha256()
    sha.update(DATA[:1000])
    state = sha.state
    assert Sha256.resumed(state, 999) is None
    for wrong in (b"", state[:-1], state + b"\0", bytes(len(state))):
        assert Sha256.resumed(wrong, 1000) is None
    for at in range(len(state)):
        damaged = bytearray(state)
        damaged[at] ^= 1
        assert Sha256.resumed(bytes(damaged), 1000) is None


def test_without_the_library_it_hashes_and_has_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sha256, "library", lambda: None)
    sha = Sha256()
    sha.update(DATA)
    assert sha.digest() == hashlib.sha256(DATA).digest()
    assert sha.state == b""
    assert Sha256.resumed(b"", 0) is None
