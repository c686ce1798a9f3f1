"""One Chromium that plays the scenarios of tests/web/scenarios.mjs on the page."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.support.chromium import started, tell
from tests.support.paths import ROOT

SHOTS = ROOT / "artifacts" / "page"
"""The folder of screenshots, for a person to look at; git ignores it. CONEXIONES_SHOTS=1 has them taken."""

# What the browser itself logs of a request that was refused or found no server, and of a sign-out.
REMARKS = ("error: Failed to load resource: ", "info: Clear-Site-Data header on ")


class Served(Protocol):
    """A server of the tests, or of the bench."""

    @property
    def address(self) -> str: ...


class Browser:
    def __init__(self) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self._process = started("page.mjs")

    def play(
        self,
        scenario: str,
        server: Served,
        answers: Mapping[str, Callable[[], Any]] | None = None,
        *,
        remarks: bool = False,
        **given: Any,
    ) -> Any:
        """Plays it and gives its result. `answers` are the actions that it may ask for, by name.

        Fails if the console says anything, or a request goes to another origin; with `remarks` the browser
        may say that it did not reach the server.
        """
        url = f"http://{server.address}"
        if not os.environ.get("CONEXIONES_SHOTS"):
            given.pop("shot", None)
        tell(self._process, {"scenario": scenario, "url": url, "shots": str(SHOTS), **given})
        while True:
            line = json.loads(self._receive())
            if "ask" in line:
                tell(self._process, (answers or {})[line["ask"]]() or {})
                continue
            assert "failed" not in line, line["failed"]
            done = line["done"]
            said = [text for text in done["said"] if not (remarks and text.startswith(REMARKS))]
            assert said == [], said
            assert done["foreign"] == [], done["foreign"]
            return done["result"]

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _receive(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the browser is gone"
        return line


def large(path: Path, photograph: bytes, size: int) -> Path:
    """A photograph with a sparse tail up to `size` bytes, like the films that phones append."""
    with path.open("wb") as file:
        file.write(photograph)
        file.truncate(size)
    return path
