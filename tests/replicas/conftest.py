"""Servers that share a PostgreSQL and an S3 store, which all tests of this process have in common."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conexiones.testing import Server, serve
from tests.replicas.houses import House
from tests.support.kept import DECODE_SECONDS
from tests.support.seaweed import ObjectServer

Replica = Callable[..., Server]


@pytest.fixture
def shared_settings(
    database: str,
    object_server: ObjectServer,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """The settings by which servers share an empty database, and an empty place for objects."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    return {
        "database": database,
        "blobs": f"s3://{bucket}/{tmp_path.name}",
        "s3_endpoint": object_server.url,
        "cache_dir": str(tmp_path / "cache"),
    }


@pytest.fixture
def replica(shared_settings: dict[str, str]) -> Iterator[Replica]:
    """Starts servers that share everything; they end with the test."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            serve(**{"decode_seconds": DECODE_SECONDS, "decode_workers": 1, **shared_settings, **settings})
        )


@pytest.fixture
def house(shared_settings: dict[str, str]) -> House:
    """Where a house may be moved to, and is not yet."""
    return House(*(shared_settings[name] for name in ("database", "blobs", "s3_endpoint")))
