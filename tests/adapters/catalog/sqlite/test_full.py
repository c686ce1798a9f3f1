"""What is written to the catalog on a full disk, and what that takes of the reserve. A whole server does so
in tests/server/test_full_disk.py."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conexiones.adapters.catalog.sqlite.commits import Commits
from conexiones.adapters.catalog.sqlite.credentials import forget_credentials, use_credentials
from conexiones.adapters.catalog.sqlite.room import expire
from conexiones.adapters.catalog.sqlite.transactions import create_upload, forget_uploads
from conexiones.adapters.system.ballast import SIZE, Ballast
from conexiones.errors import StorageFull
from conexiones.ports.records import UploadRecord, UploadTerms

TERMS = UploadTerms(idle=10, total=1000, quiet=10, least_rate=1)


@pytest.fixture
def commits(tmp_path: Path) -> Iterator[Commits]:
    commits = Commits(str(tmp_path / "catalog.db"))
    yield commits
    commits.close()


@pytest.fixture
def full(commits: Commits, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve is not whole, and somebody else has taken what is free."""

    def fails(_: Ballast) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Ballast, "hold", fails)


@pytest.mark.usefixtures("full")
def test_what_finds_nothing_to_do_takes_nothing_of_the_reserve(commits: Commits, tmp_path: Path) -> None:
    for work, given in ((forget_credentials, (0, 0)), (forget_uploads, (0, 10)), (expire, (TERMS, 9))):
        assert commits.commit([(work, given)])[0].error is None
    assert (tmp_path / "ballast").stat().st_size == SIZE
    assert isinstance(commits.commit([(use_credentials, ({"a": 1},))])[0].error, StorageFull)


def test_uploads_expire_as_that_frees_space(
    commits: Commits, request: pytest.FixtureRequest, upload: Callable[..., UploadRecord]
) -> None:
    assert commits.commit([(create_upload, (upload("1"), None))])[0].error is None
    request.getfixturevalue("full")
    (ended,) = commits.commit([(expire, (TERMS, 1 << 50))])
    assert (ended.error, ended.result) == (None, ["1"])
