"""Signals that must not end a server: SIGHUP while it starts, and below nohup. Elsewhere it is tested with
the files that it has read or opened again."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conexiones.testing import Server
from tests.support.waiting import DEADLINE, until


def handled(pid: int) -> bool:
    """Whether a process catches SIGHUP."""
    found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return bool(int(found[1], 16) >> (signal.SIGHUP - 1) & 1)


def test_logs_may_be_rotated_while_the_server_starts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "conexiones", "serve", "--address=127.0.0.1:0", "--access-log=-"]
    with subprocess.Popen(
        [*command, f"--data-dir={tmp_path}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        asyncio.run(until(lambda: handled(process.pid)))
        process.send_signal(signal.SIGHUP)
        assert process.stdout
        assert "listens on 127.0.0.1:" in process.stdout.readline()
        process.terminate()
        assert process.wait(DEADLINE) == 0


def test_below_nohup_it_is_ignored(start: Callable[..., Server]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does, for all that it starts
    try:
        server = start()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not handled(server.pid)
    os.kill(server.pid, signal.SIGHUP)
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # which to other servers mean that, too
        os.kill(server.pid, number)
    with server.client() as client:
        client.get_user("Ana")
    assert server.stop() == 0
    assert "SIGUSR2 does nothing here" in server.log
