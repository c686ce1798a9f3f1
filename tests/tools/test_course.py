"""`make learn`: what it says and opens."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

from conexiones.testing import Server
from tests.support.paths import ROOT


def learn(address: str, data_dir: Path, opened: Path) -> subprocess.CompletedProcess[str]:
    """Starts it, with a browser that writes down the address that it is to open."""
    browser = opened.with_name("browser")
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o755)
    program = (
        f"import sys, course, pathlib; sys.exit(course.main({address!r}, pathlib.Path({str(data_dir)!r})))"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT / "tools",
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), "BROWSER": f"{browser} %s"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_server_that_runs_already_shows_the_course(shared: Server, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    done = learn(shared.address, shared.data_dir, opened)
    assert done.returncode == 0, done.stderr
    assert "running already" in done.stdout
    assert opened.read_text() == f"http://{shared.address}/learn"
    assert opened.read_text() in done.stdout


def test_what_has_the_port_may_speak_anything(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"

        def answer() -> None:
            with other.accept()[0] as connection:
                connection.sendall(b"\0\0\x18\4\0\0\0\0\0")  # the beginning of HTTP/2

        answering = threading.Thread(target=answer)
        answering.start()
        done = learn(address, tmp_path / "data", tmp_path / "opened")
        answering.join()
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert f"call {address}: end what is there" in done.stderr


def test_a_port_that_somebody_else_has_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        other.settimeout(0)
        done = learn(address, tmp_path / "data", tmp_path / "opened")
    assert done.returncode == 1
    assert f"Cannot listen on {address}" in done.stderr
    assert f"call {address}: end what is there" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "opened").exists()
