"""A real browser, and a web server for the pages that it opens."""

import atexit
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from select import select
from typing import Any

from tests.support.clients import SECONDS, need, node
from tests.support.paths import WEB


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The origin at which the files of the folder are, while the block runs."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, name="pages")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def started(program: str) -> subprocess.Popen[str]:
    """A program of tests/web that starts the browser, and then is told in lines what to do."""
    executable = need("chromium", "apt install chromium")
    process = subprocess.Popen(
        [node(), program], cwd=WEB, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    tell(process, {"executable": executable})
    return process


def tell(process: subprocess.Popen[str], message: Any) -> None:
    assert process.stdin
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


class _Chromium:
    """The browser of all tests of this process, which costs more to start than most of what is done in it."""

    def __init__(self) -> None:
        self._process = started("browser.mjs")

    def run(self, run: dict[str, Any]) -> dict[str, Any]:
        tell(self._process, run)
        assert self._process.stdout
        there, _, _ = select([self._process.stdout], [], [], 2 * SECONDS)
        if not there or not (line := self._process.stdout.readline()):
            _chromium.cache_clear()
            self._process.kill()
            raise AssertionError("The browser is gone, or does not end.")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        self._process.communicate()


@cache
def _chromium() -> _Chromium:
    chromium = _Chromium()
    atexit.register(chromium.close)
    return chromium


def browse(*runs: dict[str, Any]) -> list[dict[str, Any]]:
    """Opens a page for each run: see web/browser.mjs for what goes in and out."""
    return [_chromium().run(run) for run in runs]
