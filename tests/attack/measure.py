"""One row: a server of its own, the good client all the while, and the greedy one in the middle."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import grpc.aio

from bench.processes import Meter
from conexiones.sdk.blocking import Client
from conexiones.testing import Server
from tests.attack import tokens
from tests.attack.rows import Row, picture
from tests.support import certificates
from tests.support.bitmaps import bitmap
from tests.support.paths import ROOT

PHASES = ("alone", "during", "after")
WARM_SECONDS = 2.0
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long each phase of a row takes, in seconds."""

    alone: float = 3.0
    during: float = 6.0
    after: float = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What the good client saw of one kind of work in one phase. Times are in seconds."""

    count: int
    p50: float
    p95: float
    most: float
    failures: dict[str, int]


@dataclass(slots=True)
class Result:
    """phases: phase → kind → Seen. did: the tally of the greedy client. memory: the server's PSS in MiB: the
    peaks alone and during the attack, and what it has at the end. log: the server's warnings and errors."""

    row: str
    phases: dict[str, dict[str, Seen]] = field(default_factory=dict)
    did: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        phases = {
            phase: {kind: Seen(**seen) for kind, seen in kinds.items()}
            for phase, kinds in found["phases"].items()
        }
        return cls(**{**found, "phases": phases})


def measure(
    row: Row,
    *,
    times: Times,
    checkout: Path = ROOT,
    settings: dict[str, str] | None = None,
    by_token: bool = False,
) -> Result:
    """With `by_token`, both clients come from one address, each with a token of its own. Raises RuntimeError
    if a program of the measurement itself failed."""
    result = Result(row.name)
    required = {"auth": "required"} if by_token else {}
    with _serving(checkout, {**row.settings, **required, **(settings or {})}, tls=row.tls) as (server, ca):
        own, theirs = tokens.made(server.address, server.data_dir, "good", "greedy") if by_token else ("", "")
        images = asyncio.run(_stored_with(server.address, own)) if own else _stored(server.address, ca)
        trusted = [str(ca)] if ca else []
        with (
            _running("good", server.address, images["photo"], *trusted, token=own) as good,
            Meter(server.pid, every=0.25) as memory,
        ):
            lines = _Lines(good)
            time.sleep(WARM_SECONDS)
            begins = [time.monotonic()]
            time.sleep(times.alone)
            result.memory["alone"] = memory.take() // MIB
            begins.append(time.monotonic())
            result.did = _attack(row, server, images, ca, times.during, token=theirs)
            begins.append(time.monotonic())
            result.memory["peak"] = memory.take() // MIB
            time.sleep(times.after)
            memory.take()  # so that the next one is of this moment
            result.memory["after"] = memory.take() // MIB
            assert good.stdin
            good.stdin.close()
            if status := good.wait(200):
                raise RuntimeError(f"The good client failed with status {status}.")
            works = lines.all()
        result.phases = dict(zip(PHASES, _phases(works, begins), strict=True))
        result.log = [line for line in server.log.splitlines() if " WARNING " in line or " ERROR " in line]
    return result


def _attack(
    row: Row, server: Server, images: dict[str, str], ca: Path | None, seconds: float, *, token: str
) -> dict[str, float]:
    """Runs the greedy client for so long, and gives its tally."""
    source = "127.0.0.1" if token else row.source
    target = {"host": "127.0.0.1", "port": server.port, "source": source, "images": images}
    target |= {"ca": str(ca or ""), "token": token}
    with _running("greedy", row.name) as greedy:
        assert greedy.stdin
        assert greedy.stdout
        greedy.stdin.write(json.dumps(target) + "\n")
        greedy.stdin.flush()
        greedy.stdout.readline()
        time.sleep(seconds)
        greedy.stdin.close()
        found: dict[str, float] = json.loads(greedy.stdout.readline() or '{"died": 1}')
    return found


def _phases(works: list[tuple[str, float, float, str]], begins: list[float]) -> Iterator[dict[str, Seen]]:
    """Work counts in the phase in which it began."""
    for begin, end in zip(begins, [*begins[1:], float("inf")], strict=True):
        kinds: dict[str, list[tuple[float, str]]] = {}
        for kind, began, seconds, error in works:
            if begin <= began < end:
                kinds.setdefault(kind, []).append((seconds, error))
        yield {kind: _seen(found) for kind, found in kinds.items()}


def _seen(found: list[tuple[float, str]]) -> Seen:
    seconds = sorted(second for second, _ in found)
    return Seen(
        len(seconds),
        seconds[len(seconds) // 2],
        seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))],
        seconds[-1],
        dict(Counter(error for _, error in found if error)),
    )


@contextmanager
def _serving(checkout: Path, settings: dict[str, str], *, tls: bool) -> Iterator[tuple[Server, Path | None]]:
    """The server of a checkout, whose data folder is removed at the end, and the file of its CA if it has
    TLS."""
    with TemporaryDirectory(prefix="conexiones-attack-") as folder:
        ca = None
        if tls:
            certs = certificates.authority(Path(folder) / "certs")
            ca, settings = certs / "ca.pem", {**settings, **certificates.tls(certs)}
        server = Server(Path(folder) / "data", settings)
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = str(checkout / "src")
        try:
            server.start()
        finally:
            del os.environ["PYTHONPATH"]
            if before is not None:
                os.environ["PYTHONPATH"] = before
        with server:
            yield server, ca


def _stored(address: str, ca: Path | None) -> dict[str, str]:
    """The ids of the images that attacks and the good client use."""
    with Client(address, ca=ca) as client:
        return {name: client.upload(data).id for name, data in _images()}


async def _stored_with(address: str, token: str) -> dict[str, str]:
    """The same with a token."""
    async with grpc.aio.insecure_channel(address) as channel:
        client = tokens.WithToken(channel, token, seconds=60)
        return {name: (await client.upload(data)).image.id for name, data in _images()}


def _images() -> Iterator[tuple[str, bytes]]:
    photo = (ROOT / "client" / "image" / "elephant.jpg").read_bytes()
    yield "photo", photo
    yield "small", photo[:2] + b"\xff\xfe\0\4ok" + photo[2:]
    yield "large", picture(5000)
    yield "huge", b"".join(bitmap(5774, 5774))


@contextmanager
def _running(program: str, *arguments: str, token: str = "") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.attack.{program}", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, tokens.VARIABLE: token},
    )
    with process:
        try:
            yield process
        finally:
            if not process.stdin or process.stdin.closed:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
            else:
                process.kill()


class _Lines(threading.Thread):
    """What the good client prints, read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._found: list[tuple[str, float, float, str]] = []
        self.start()

    def run(self) -> None:
        for line in self._process.stdout or ():
            self._found.append(tuple(json.loads(line)))

    def all(self) -> list[tuple[str, float, float, str]]:
        self.join()
        return self._found
