"""Fixtures for the tests of the decoder: a sound image, and one whose reading never ends."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.decoder.workers import Endless, quarters


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.jpg"
    quarters().save(path)
    return path


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Endless]:
    with contextlib.closing(Endless(tmp_path / "endless.jpg")) as endless:
        yield endless
