"""What the log says of files that cannot be decoded, however many a client sends."""

import logging
from pathlib import Path

import pytest

from conexiones.adapters.decoder import seat
from conexiones.adapters.decoder.seat import Job, Seat
from conexiones.errors import PreviewProblem
from conexiones.seldom import LINES_AT_ONCE, Seldom


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [0.0]
    monkeypatch.setattr("conexiones.seldom.time.monotonic", lambda: time[0])
    monkeypatch.setattr(seat, "_LINES", {"CRASH": Seldom(), "SECONDS": Seldom()})
    return time


def failed(cause: PreviewProblem, times: int = 1, detail: str = "x") -> None:
    one = Seat.__new__(Seat)
    one._closed = False
    for _ in range(times):
        one._failure(Job(task="preview", path=Path("image"), format="JPEG"), cause, detail)


def test_what_a_file_has_caused_is_no_fault(now: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "conexiones.decoder")
    for cause in seat.REFUSALS:
        failed(cause)
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


def test_files_that_kill_decoders_do_not_fill_the_log(
    now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    failed("CRASH", int(LINES_AT_ONCE) + 50)
    assert len(caplog.records) == LINES_AT_ONCE
    failed("SECONDS")
    assert len(caplog.records) == LINES_AT_ONCE + 1, "others are logged all the same"
    now[0] += 1
    failed("CRASH", 2, detail="x" * 100_000)
    assert len(caplog.records) == LINES_AT_ONCE + 2
    assert caplog.messages[-1].endswith("(50 others are left out)")
    assert len(caplog.messages[-1]) < 10_000
