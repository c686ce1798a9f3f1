"""A real Prometheus on loopback, which scrapes every second, and its HTTP API."""

import asyncio
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.support.clients import need
from tests.support.waiting import DEADLINE, until

SCRAPE_SECONDS = 1


class Prometheus:
    def __init__(self, url: str, targets: int) -> None:
        self._url = url
        self._targets = targets

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the API."""
        with urlopen(f"{self._url}/api/v1/{path}?{urlencode(parameters)}", timeout=DEADLINE) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def query(self, query: str) -> list[float]:
        """The values of all series that a query gives now."""
        found = self.ask("query", query=query)
        assert found["resultType"] == "vector", query
        return [float(one["value"][1]) for one in found["result"]]

    def rules(self) -> dict[str, str]:
        """The expressions of the alerts, by their names."""
        (group,) = self.ask("rules", type="alert")["groups"]
        return {rule["name"]: rule["query"] for rule in group["rules"]}

    def scraped(self) -> None:
        """Waits until all that has happened by now was scraped."""
        happened = time.time()

        def done() -> bool:
            # Of the series itself: what is computed has the time of the query.
            times = self.query('timestamp(up{job="conexiones"})')
            return (
                len(times) == self._targets
                and min(times) > happened
                and set(self.query('up{job="conexiones"}')) == {1.0}
            )

        asyncio.run(until(done))


@contextmanager
def prometheus(folder: Path, targets: list[str], rules: Path) -> Iterator[Prometheus]:
    program = need("prometheus", "apt install prometheus")
    config = folder / "prometheus.yml"
    config.write_text(
        json.dumps(  # which is YAML, too
            {
                "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "1s"},
                "rule_files": [str(rules)],
                "scrape_configs": [{"job_name": "conexiones", "static_configs": [{"targets": targets}]}],
            }
        )
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, "GOMAXPROCS": "1"},
        )
    try:
        address = ""

        def ready() -> bool:
            nonlocal address
            said = (folder / "log").read_text()
            assert process.poll() is None, said
            if listens := re.search(r'"Listening on" address=(\S+)', said):
                address = listens[1]
            # The two are said in either order.
            return bool(address) and "Server is ready to receive web requests" in said

        asyncio.run(until(ready))
        yield Prometheus(f"http://{address}", len(targets))
    finally:
        process.terminate()
        process.wait(DEADLINE)
