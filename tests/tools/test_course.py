"""`make learn`: what it says and opens."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conexiones.testing import Server
from tests.support.lengths import brief
from tests.support.paths import ROOT


def program(address: str, data_dir: Path, opened: Path) -> dict[str, Any]:
    """What starts it, with a browser that writes down the address that it is to open."""
    browser = opened.with_name("browser")
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o755)
    text = f"import sys, course, pathlib; sys.exit(course.main({address!r}, pathlib.Path({str(data_dir)!r})))"
    return {
        "args": [sys.executable, "-c", text],
        "cwd": ROOT / "tools",
        "env": {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), "BROWSER": f"{browser} %s"},
        "text": True,
    }


def learn(address: str, data_dir: Path, opened: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(**program(address, data_dir, opened), capture_output=True, check=False)


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


def test_data_that_another_server_has_is_said(shared: Server, tmp_path: Path) -> None:
    done = learn("127.0.0.1:0", shared.data_dir, tmp_path / "opened")
    assert done.returncode == 1
    assert f"The data folder {shared.data_dir} is in use by another server." in done.stderr
    assert f"keeps its data in {shared.data_dir}: end the server that has it." in done.stderr
    assert "end what is there" not in done.stderr


def test_data_that_cannot_be_used_is_no_matter_of_servers(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("no folder")
    done = learn("127.0.0.1:0", file, tmp_path / "opened")
    assert done.returncode == 1
    assert f"Cannot use the data folder {file}" in done.stderr
    assert "end" not in done.stderr.lower().replace(str(tmp_path).lower(), "").split()


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["alone", "from the terminal"])
@pytest.mark.parametrize("number", brief([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], {signal.SIGINT}))
def test_a_signal_ends_the_server_too(
    send: Callable[[int, int], None], number: signal.Signals, tmp_path: Path
) -> None:
    with subprocess.Popen(
        **program("127.0.0.1:0", tmp_path / "data", tmp_path / "opened"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as learning:
        try:
            assert learning.stdout
            url = next(line for line in learning.stdout if "/learn" in line).split()[-1]
            host, port = url.removeprefix("http://").removesuffix("/learn").split(":")
            socket.create_connection((host, int(port))).close()
            send(learning.pid, number)
            stderr = learning.communicate()[1]
        finally:
            learning.kill()
    assert (learning.returncode, stderr) == (0, "")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
