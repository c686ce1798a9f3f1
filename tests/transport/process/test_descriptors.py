"""What is promised under a limit on file descriptors."""

import logging
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from conexiones.settings import Settings
from conexiones.transport.process.descriptors import CALL, CONNECTION, FLOOR, MORE, OWN, UPLOAD, fitted, left
from conexiones.transport.process.start_error import StartError


@pytest.mark.parametrize("hard", [FLOOR, 1024, 4096])
def test_what_does_not_fit_is_scaled_down(hard: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        less = fitted(Settings(), hard)
    taken = CONNECTION * less.max_connections + CALL * less.max_calls + UPLOAD * less.max_open_uploads
    assert hard - 10 < OWN + taken <= hard
    (line,) = caplog.messages
    assert f"--max-connections {less.max_connections}, --max-calls {less.max_calls}" in line


def test_what_fits_stays(caplog: pytest.LogCaptureFixture) -> None:
    assert fitted(Settings(), 1_000_000) == Settings()
    small = Settings(max_connections=20, max_calls=20, max_open_uploads=20)
    assert fitted(small, FLOOR) == small
    assert not caplog.messages


def test_many_decoders_have_descriptors_of_their_own() -> None:
    limit = 1_000_000
    few, many = (fitted(Settings(decode_workers=number), 1024) for number in (2, 130))
    promised = CONNECTION * few.max_connections + CALL * few.max_calls + UPLOAD * few.max_open_uploads
    left_over = CONNECTION * many.max_connections + CALL * many.max_calls + UPLOAD * many.max_open_uploads
    assert 0 <= promised - left_over - 200 < 20
    assert fitted(Settings(decode_workers=130), limit).max_calls == Settings().max_calls


@pytest.mark.parametrize("limit", [3500, 4096, 100_000])
def test_what_is_left_is_for_a_rush(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    settings = Settings()
    promised = settings.max_connections + CALL * settings.max_calls + UPLOAD * settings.max_open_uploads
    assert left(settings) == min(MORE, max(0, limit - OWN - promised))


def test_below_the_floor_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="ulimit -Hn"):
        fitted(Settings(), FLOOR - 1)
    serve = [sys.executable, "-m", "conexiones", "serve", "--address=127.0.0.1:0", f"--data-dir={tmp_path}"]
    ran = subprocess.run(
        # Not `preexec_fn`, with which this process would fork among the threads of gRPC's core.
        ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", *serve],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert "file descriptors" in line
