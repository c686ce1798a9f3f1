"""A real browser, and a web server for the pages that it opens."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
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


def browse(*runs: dict[str, Any]) -> list[dict[str, Any]]:
    """Opens a page for each run: see web/browser.mjs for what goes in and out."""
    given = {"executable": need("chromium", "apt install chromium"), "runs": runs}
    ran = subprocess.run(
        [node(), "browser.mjs"],
        cwd=WEB,
        input=json.dumps(given).encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=2 * SECONDS,
    )
    return [json.loads(line) for line in ran.stdout.splitlines()]
