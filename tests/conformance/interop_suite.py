"""The interop client of gRPC, over plaintext and TLS: all cases that need no authentication of its own."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from conexiones.certificates import make
from conexiones.testing import Server
from tests.conformance.build import Suites
from tests.conformance.result import Known, Result, compared

CASES = (
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
)

SECONDS = 60.0
"""Time that a case may take; each takes less than one on a machine at rest."""


def run(suites: Suites, known: list[Known]) -> Result:
    with TemporaryDirectory(prefix="conformance-") as folder:
        return compared("interop", dict(_outcomes(suites.interop_client, Path(folder))), known)


def _outcomes(client: Path, folder: Path) -> Iterator[tuple[str, str]]:
    made = [str(path) for path in make(folder, ("localhost", "127.0.0.1"))]
    pem = {Path(path).name: path for path in made}
    encrypted = {"tls_cert": pem["server.pem"], "tls_key": pem["server.key"]}
    trusting = ["--use_tls", "--use_test_ca", f"--ca_file={pem['ca.pem']}"]
    for wire, settings, flags in (("plaintext", {}, []), ("TLS", encrypted, trusting)):
        server = Server(folder / wire, settings, ("-m", "tests.conformance.server"))
        server.start()
        with server:
            address = [f"--server_host={server.address.split(':')[0]}", f"--server_port={server.port}"]
            for case in CASES:
                yield f"{case} over {wire}", _wrong([client, *address, *flags, f"--test_case={case}"])


def _wrong(command: list[str | Path]) -> str:
    """What the client says of a case that fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no end after {SECONDS:g} seconds"
    return done.stderr if done.returncode else ""
