"""A server that is killed leaves its private folder, and the next one removes it, over any data."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from conexiones.testing import Server
from tests.support.processes import family
from tests.support.waiting import DEADLINE


def test_what_a_killed_server_left_goes_with_the_next_start(
    start: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    (temporary / "conexiones-of-mine").mkdir()  # has no lock, so it is no private folder
    (temporary / "conexiones-link").symlink_to(temporary / "conexiones-of-mine")
    monkeypatch.setenv("TMPDIR", str(temporary))
    others = set(temporary.iterdir())
    killed, alive = start(tmp_path / "killed"), start(tmp_path / "alive")
    (kept,) = (Path(path.read_text()) for path in [alive.data_dir / "lock"])
    (left,) = set(temporary.iterdir()) - others - {kept}
    everyone = family(killed.pid)
    killed.kill()
    psutil.wait_procs(everyone, timeout=DEADLINE)
    assert left.exists()
    next_one = start(tmp_path / "other data")
    assert set(temporary.iterdir()) == {*others, kept, Path((next_one.data_dir / "lock").read_text())}
    assert (alive.stop(), next_one.stop()) == (0, 0)
    assert set(temporary.iterdir()) == others
