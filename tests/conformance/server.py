"""The server under test: a supervisor, and Envoy with the application of the suites.

    python -m tests.conformance.server            has its settings from the environment
    python -m tests.conformance.server --asked    has them from connectconformance, through standard input

It serves until SIGTERM.
"""

import asyncio
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from conexiones.settings import Settings
from conexiones.transport.process.address import Address
from conexiones.transport.process.supervisor import Supervisor
from tests.conformance import protocols
from tests.conformance.protocols import BUILD, CONFORMANCE, message

APPLICATION = "tests.conformance.application:app"

LOG = BUILD / "servers.log"
"""The output of the servers that connectconformance starts."""

_SIZE = struct.Struct(">I")
"""Before each message: its length (docs/testing_servers.md of the suite)."""


def serve_by_environment() -> int:
    supervisor = Supervisor(Settings.load(), app=APPLICATION)
    return asyncio.run(supervisor.run(lambda address: print(f" listens on {address} ", flush=True)))


def serve_as_asked() -> int:
    """Reads a ServerCompatRequest, serves as it wants, and says where in a ServerCompatResponse."""
    protocols.load()
    replies = _replies_alone()
    (size,) = _SIZE.unpack(sys.stdin.buffer.read(_SIZE.size))
    asked = message(f"{CONFORMANCE}.ServerCompatRequest").FromString(sys.stdin.buffer.read(size))

    def say(address: Address) -> None:
        response = message(f"{CONFORMANCE}.ServerCompatResponse")(
            host=address.host, port=address.port, pem_cert=asked.server_creds.cert if asked.use_tls else b""
        ).SerializeToString()
        with suppress(BrokenPipeError):  # the suite has given up, and ends this server
            replies.write(_SIZE.pack(len(response)) + response)
            replies.flush()

    with TemporaryDirectory(prefix="conformance-") as folder:
        supervisor = Supervisor(_settings(asked, Path(folder)), app=APPLICATION)
        return asyncio.run(supervisor.run(say))


def _settings(asked: Any, folder: Path) -> Settings:
    flags = {"address": "127.0.0.1:0", "data_dir": str(folder / "data"), "log_level": "warning"}
    if asked.message_receive_limit:
        flags["max_message_bytes"] = str(asked.message_receive_limit)
    if asked.use_tls:
        flags["tls_cert"] = _write(folder / "server.pem", asked.server_creds.cert)
        flags["tls_key"] = _write(folder / "server.key", asked.server_creds.key)
    if asked.client_tls_cert:
        flags["tls_client_ca"] = _write(folder / "client.pem", asked.client_tls_cert)
    return Settings.load({}, flags)


def _write(path: Path, content: bytes) -> str:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return str(path)


def _replies_alone() -> BinaryIO:
    """Standard output, for replies to the suite alone. What Envoy and others write there goes to LOG."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    with LOG.open("ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    return replies


if __name__ == "__main__":
    sys.exit(serve_as_asked() if "--asked" in sys.argv else serve_by_environment())
