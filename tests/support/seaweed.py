"""An S3-compatible server as the tests start it: SeaweedFS, from a wheel, on loopback.

It calls no fsync: what it acknowledged survives its processes, and not the machine.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from itertools import count
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.support.processes import suspend
from tests.support.waiting import DEADLINE

_VOLUMES = 50
"""Files of a server, of which each bucket takes several at once."""

_SOCKETS = Path("/tmp")
"""Where its servers have sockets, and nowhere else; they leave them when they are killed."""

_SERVERS = ("master", "volume", "filer", "s3")
_buckets = count(1)


class ObjectServer:
    """A server at `url`, where each test has a bucket of its own."""

    def __init__(self, folder: Path, program: Path, gigabytes: int) -> None:
        self._folder = folder
        self._program = program
        self._gigabytes = gigabytes
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    def at(self, name: str) -> str:
        """Where one of its servers is ("master", "filer"), as `weed shell` wants to be told."""
        return f"127.0.0.1:{self._ports[f'{name}.port']}.{self._ports[f'{name}.port.grpc']}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it, with all that it had, and waits until it answers. If somebody has taken one of the ports
        meanwhile it is tried with others."""
        end = time.monotonic() + DEADLINE
        while not (self._listens() and self._answers()):
            if self._process is None or self._process.poll() is not None:
                self._begin()
            assert time.monotonic() < end, (self._folder / "said").read_text()
            time.sleep(0.05)  # nothing announces that it is ready

    def _begin(self) -> None:
        if not self._ports or self._process is not None:
            names = [f"{name}.port{end}" for name in _SERVERS for end in ("", ".grpc")]
            self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        command = [str(self._program), "-logdir", str(self._folder), "server", "-ip=127.0.0.1"]
        command += ["-ip.bind=127.0.0.1", f"-dir={self._folder}", "-filer", "-s3", "-s3.port.iceberg=0"]
        command += ["-s3.port.lance=0", "-master.telemetry=false"]
        command += [
            f"-volume.max={_VOLUMES}",
            f"-master.volumeSizeLimitMB={self._gigabytes * 1000 // _VOLUMES}",
        ]
        command += [f"-{name}={port}" for name, port in self._ports.items()]
        with (self._folder / "said").open("wb") as said:
            # It would take keys in the environment for those that its clients need.
            environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            self._process = subprocess.Popen(
                command, stdout=said, stderr=said, cwd=self._folder, env=environment
            )

    def _listens(self) -> bool:
        """Whether it is this one that is at its port, and not another process that has taken it meanwhile."""
        if self._process is None:
            return False
        with suppress(psutil.NoSuchProcess):
            held = psutil.Process(self._process.pid).net_connections("tcp4")
            there = {one.laddr.port for one in held if one.status == psutil.CONN_LISTEN}
            return self._ports["s3.port"] in there
        return False

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._ports["s3.port"]), timeout=DEADLINE):
                pass
            with urlopen(Request(f"{self.url}/ready", method="PUT"), timeout=DEADLINE):
                return True
        except HTTPError as error:
            return error.code == HTTPStatus.CONFLICT  # the bucket is there already
        except (KeyError, OSError):
            return False

    def bucket(self) -> str:
        """The name of a new bucket."""
        name = f"test-{next(_buckets)}"
        with urlopen(Request(f"{self.url}/{name}", method="PUT"), timeout=DEADLINE):
            return name

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            for port in self._ports.values():
                for path in _SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                    path.unlink(missing_ok=True)

    def freeze(self) -> None:
        if self._process is not None:
            suspend(psutil.Process(self._process.pid))

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def running(*, gigabytes: int = 3) -> Iterator[ObjectServer]:
    """A server that is gone afterwards, and takes so many bytes, with those that were deleted."""
    program = Path(sys.executable).parent / "weed"
    if not program.exists():
        refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        refuse("SeaweedFS is not installed: make setup")
    folder = Path(tempfile.mkdtemp(prefix="conexiones-s3-"))
    try:
        server = ObjectServer(folder, program, gigabytes)
        try:
            server.start()
            yield server
        finally:
            server.thaw()
            server.kill()
    finally:
        shutil.rmtree(folder)


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [int(one.getsockname()[1]) for one in servers]
