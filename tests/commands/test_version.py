"""`conexiones version` and `conexiones status`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from conexiones import __version__, commit
from conexiones.adapters.catalog.sqlite.migrations import newest
from conexiones.cli import main
from conexiones.testing import Server


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.stdout


def test_the_version_of_a_program_and_of_a_server(
    shared: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"{__version__}, schema {newest()}"
    assert run("version") == (0, f"program  {said}\n")
    assert run("version", "--server", shared.address) == (0, f"program  {said}\nserver   {said}\n")
    note = tmp_path / "commit.txt"
    note.write_text("0123abc\n")
    monkeypatch.setattr(commit, "_FILE", note)
    _, out = run("version", "--json")
    assert json.loads(out) == {
        "what": "program",
        "version": __version__,
        "build": "0123abc",
        "schema": newest(),
    }


def test_a_server_that_cannot_be_asked_is_one_line() -> None:
    result = CliRunner().invoke(main, ["version", "--server", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert run("version", "--server", "no server")[0] == 2


def test_the_status_of_a_server(shared: Server) -> None:
    status, out = run("status", "--address", shared.address)
    assert status == 0
    assert f"server   {__version__}, schema {newest()}" in out
    assert "nothing damaged; " in out
    status, out = run("status", "--address", shared.address, "--json")
    found = json.loads(out)
    assert (status, found["schema_version"], found["build"]) == (0, newest(), "")
    assert found["verification"]["damaged_images"] == 0
