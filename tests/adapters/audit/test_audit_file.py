"""The file of the audit log: whole lines, when it is opened again, and when it cannot be written."""

import errno
import json
import os
import resource
import signal
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conexiones.adapters.audit.file import AuditFile
from conexiones.adapters.audit.lines import HIDDEN, LONGEST, line
from conexiones.adapters.system import line_file as module
from conexiones.domain.access.secrets import SESSION, TICKET, TOKEN, mint
from conexiones.ports.audit import AuditEntry
from tests.support.waiting import until


def entry(**values: Any) -> AuditEntry:
    return AuditEntry(**{"time": 1_700_000_000_000_001, "event": "image.stored", **values})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(one) for one in path.read_bytes().splitlines()]


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[AuditFile]:
    audit = AuditFile(path)
    await audit.open()
    try:
        yield audit
    finally:
        await audit.close()


async def written(path: Path, count: int) -> list[dict[str, Any]]:
    await until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count)
    return lines(path)


async def test_a_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    async with opened(path) as audit:
        audit.write(
            entry(
                kind="image",
                id="1",
                method="a.B/C",
                subject="token:x",
                credential="abc",
                peer="[::1]:5",
                request_id="r",
                outcome="NOT_AN_IMAGE",
            )
        )
        (found,) = await written(path, 1)  # without the end of the server
    assert found == {
        "time": "2023-11-14T22:13:20.000001Z",
        "event": "image.stored",
        "outcome": "NOT_AN_IMAGE",
        "principal": {"subject": "token:x", "credential": "abc"},
        "method": "a.B/C",
        "object": {"kind": "image", "id": "1"},
        "peer": "[::1]:5",
        "request_id": "r",
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_what_came_last_is_written_at_the_end_and_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text('{"before": true}\n')
    path.chmod(0o640)
    async with opened(path) as audit:
        for number in range(1000):
            audit.write(entry(id=str(number), kind="image"))
    found = lines(path)
    assert found[0] == {"before": True}
    assert [one["object"]["id"] for one in found[1:]] == list(map(str, range(1000)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640, "the operator's choice"


async def test_a_file_that_was_moved_is_opened_again(tmp_path: Path) -> None:
    path, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    async with opened(path) as audit:
        audit.write(entry(kind="image", id="1"))
        await written(path, 1)
        path.rename(old)
        audit.write(entry(kind="image", id="2"))
        await written(old, 2)
        audit.open_again()
        audit.write(entry(kind="image", id="3"))
        await written(path, 1)
    assert [one["object"]["id"] for one in lines(old)] == ["1", "2"]
    assert [one["object"]["id"] for one in lines(path)] == ["3"]


async def test_a_file_system_that_goes_away_with_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(*_: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    path, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    async with opened(path) as audit:
        path.rename(old)
        monkeypatch.setattr(module, "sameopenfile", stale)
        audit.open_again()
        for id in ("1", "2"):
            audit.write(entry(kind="image", id=id))
            await written(path, int(id))


async def test_a_folder_that_has_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, moved = tmp_path / "logs", tmp_path / "moved"
    folder.mkdir()
    async with opened(folder / "audit.log") as audit:
        folder.rename(moved)
        audit.open_again()
        audit.write(entry())
        await written(moved / "audit.log", 1)
    assert "cannot be opened again: No such file or directory" in caplog.text


@pytest.mark.parametrize("name", ["missing/audit.log", ".", "pipe"])
async def test_what_cannot_be_written_at_the_start(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / name
    with pytest.raises(ValueError, match=r"^Cannot write the audit log .+: .+\.$"):
        await AuditFile(path).open()


@pytest.fixture
def _limited() -> Iterator[None]:
    """Files that this process writes end after a thousand bytes."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("_limited")
async def test_a_full_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is written when there is room again, beginning within the line that was cut."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "MAX_PENDING", 10_000)
    path = tmp_path / "audit.log"
    size = len(line(entry(kind="image", id="0000")))
    async with opened(path) as audit:
        for number in range(100):
            audit.write(entry(kind="image", id=f"{number:04}"))
        await until(lambda: path.stat().st_size == 1000)
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        )
        kept = 10_000 // size + 1
        found = await written(path, kept + 1)
    assert [one["object"]["id"] for one in found[:-1]] == [f"{number:04}" for number in range(kept)]
    assert (found[-1]["event"], found[-1]["lines"]) == ("audit.lost", 100 - kept)
    assert caplog.text.count("cannot be written") == 1
    assert caplog.text.count("is written again") == 1


@pytest.mark.usefixtures("_limited")
@pytest.mark.parametrize("moved", [False, True])
async def test_a_line_that_was_cut_is_whole_in_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    """The disk is full, and somebody rotates the log."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    path, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    async with opened(path) as audit:
        for number in range(20):
            audit.write(entry(kind="image", id=f"{number:04}"))
        await until(lambda: path.stat().st_size == 1000)
        if moved:
            path.rename(old)
        audit.open_again()
        await until(lambda: path.exists() and path.stat().st_size == 1000)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
        await until(lambda: path.exists() and b'"0019"' in path.read_bytes())
    whole = [json.loads(one) for one in old.read_bytes().splitlines()[:-1]] if moved else []
    assert [one["object"]["id"] for one in whole + lines(path)] == [f"{number:04}" for number in range(20)]


def test_no_value_makes_another_line_or_is_long() -> None:
    hostile = 'x"}\n{"event": "image.deleted"}\r\n\x00\u2028\u202e\ud800' + "y" * 10_000
    text = line(entry(kind="user", id=hostile, subject=hostile, method=hostile, peer=hostile))
    assert text.count(b"\n") == 1
    assert text.isascii()
    assert b"\r" not in text
    found = json.loads(text)
    assert len(found["object"]["id"]) == LONGEST
    assert found["object"]["id"].startswith('x"}\n{"event"')
    assert len(text) < 20 * LONGEST


@pytest.mark.parametrize("kind", [TOKEN, TICKET, SESSION, "JWT", "unsigned JWT"])
def test_what_looks_like_a_secret_is_hidden(kind: str) -> None:
    signature = "" if kind == "unsigned JWT" else "c2lnbmF0dXJl"
    secret = f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.{signature}" if "JWT" in kind else mint(kind)
    for around in ("{}", "me {} you", "-{}-", "a" * (LONGEST - 10) + " {}"):
        text = line(entry(kind="user", id=around.format(secret), subject=f"token:{secret}"))
        assert secret[:20].encode() not in text
        assert HIDDEN[:5] in json.loads(text)["principal"]["subject"]
    assert HIDDEN not in line(entry(subject="certificate:CN=billing-service.production.internal")).decode()
