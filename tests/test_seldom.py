"""Of lines that many cause, some are written, and the others are counted."""

import logging

import pytest

from conexiones.seldom import LINES_AT_ONCE, Seldom


def test_what_is_left_out_is_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("conexiones.seldom.time.monotonic", lambda: now)
    lines, log = Seldom(), logging.getLogger("test")
    for number in range(int(LINES_AT_ONCE) + 7):
        lines.log(log, logging.WARNING, "%d%%", number)
    assert len(caplog.messages) == LINES_AT_ONCE
    now += 2
    for number in (1, 2, 3):
        lines.log(log, logging.WARNING, "%d%%", number)
    assert caplog.messages[-2:] == ["1% (7 others are left out)", "2%"]
