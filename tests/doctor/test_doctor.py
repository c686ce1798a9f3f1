"""`conexiones doctor` finds each fault that it checks for; each is brought about here."""

import fcntl
import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from conexiones import certificates
from conexiones.doctor.connection import check_connection
from conexiones.doctor.findings import Finding
from conexiones.doctor.machine import file_system, port
from conexiones.sdk.connection import Options
from conexiones.testing import Server, serve
from tests.support.certificates import authority, mtls, tls

STEPS = ["name", "tcp", "http/2", "health", "callers", "version", "limits", "clock", "round trip"]


def found(address: str, *, timeout: float = 10.0, **way: Any) -> list[Finding]:
    blank: dict[str, Any] = {"tls": False, "ca": None, "cert": None, "key": None}
    options = Options(address=address, timeout=timeout, retries=0, patience=timeout, **{**blank, **way})
    return list(check_connection(options))


def fault(address: str, **way: Any) -> tuple[str, str]:
    """The check that fails, which must be the last one, and what it says; it must say how to mend it."""
    *before, last = found(address, **way)
    assert (last.state, {finding.state for finding in before} - {"ok"}) == ("FAIL", set())
    assert last.mend.endswith(".")
    return last.check, last.says


def doctor(*arguments: str, status: int, code: str = "") -> list[dict[str, str]]:
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}from conexiones.cli import main; main()", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (status, "")
    return [json.loads(line) for line in ran.stdout.splitlines()] if "--json" in arguments else []


def test_all_is_well(shared: Server, tmp_path: Path) -> None:
    lines = doctor("--server", shared.address, "--data-dir", str(tmp_path), "--json", status=0)
    checks = [
        "python",
        "client",
        "server",
        "libpython",
        "envoy",
        "images",
        "sandbox",
        "access",
        "data",
        "space",
        "port",
    ]
    assert [line["check"] for line in lines] == checks + STEPS
    assert {line["state"] for line in lines} <= {"ok", "warn"}
    says = {line["check"]: line["says"] for line in lines}
    assert says["sandbox"].startswith("decoders are confined by no_new_privs, landlock (version ")
    assert says["sandbox"].endswith("), seccomp")
    assert "decodes AVIF, BMP, GIF, HEIF, JPEG, PNG, TIFF, WEBP" in says["images"]
    assert "17.2 GB and 1000 megapixels" in says["limits"]
    assert says["version"].startswith("the server is 0.")
    assert abs(float(says["clock"].split()[4])) < 5


def test_a_client_without_the_server_extra(tmp_path: Path) -> None:
    server = "('pyvoy', 'grpc_reflection', 'pi_heif', 'pyvips')"
    hidden = f"import sys; sys.modules.update(dict.fromkeys({server})); "
    lines = doctor("--json", status=0, code=hidden)
    assert [line["check"] for line in lines] == ["python", "client", "server"]
    assert lines[-1]["mend"].endswith("in a clone of the project: pip install '.[server]'.")
    # If a part of the extra is installed, a server was meant to run, and it fails.
    lines = doctor("--json", status=1, code=hidden.replace("'pyvips'", ""))
    assert lines[-1]["state"] == "FAIL"


@pytest.mark.parametrize(
    ("module", "command", "begins"),
    [
        ("pyvoy", ("serve",), "conexiones: The server needs the package pyvoy. "),
        ("cryptography", ("certs", "somewhere"), "conexiones: This needs the package cryptography. "),
    ],
)
def test_a_command_that_needs_the_server_extra_says_how_to_get_it(
    module: str, command: tuple[str, ...], begins: str
) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from conexiones.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"{begins}In a clone of the project: pip install '.[server]'.\n"


def test_a_sandbox_that_lacks_a_part(tmp_path: Path) -> None:
    # As where there is no libseccomp: the process looks for another library in its place, and finds none.
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes; load = ctypes.CDLL;"
        " ctypes.CDLL = lambda name, **how: load('/no' if name else name, **how)"
    )
    hidden = "import os; path = os.environ.get('PYTHONPATH', '');"
    hidden += f" os.environ['PYTHONPATH'] = {str(tmp_path)!r} + ':' + path; "
    lines = doctor("--data-dir", str(tmp_path / "data"), "--json", status=0, code=hidden)
    (line,) = (line for line in lines if line["check"] == "sandbox")
    assert line["state"] == "warn"
    assert line["says"].endswith("; not by seccomp")
    assert "libseccomp2" in line["mend"]


def test_a_folder_that_cannot_hold_the_data(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    lines = doctor("--data-dir", str(tmp_path / "file" / "data"), "--json", status=1)
    assert [line["check"] for line in lines if line["state"] == "FAIL"] == ["data"]
    assert file_system(Path("/proc/self")) == "proc"


def test_who_has_the_port(shared: Server) -> None:
    assert port(shared.address).says.split("taken by ")[1].startswith("a conexiones server (process ")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        other = port(f"127.0.0.1:{taken.getsockname()[1]}")
        # This test's own process.
        assert other.state == "FAIL"
        assert "(process " in other.says
    assert port("127.0.0.1:0").state == "ok"
    assert (port("nonsense").state, port("192.0.2.1:50051").state) == ("FAIL", "FAIL")


def test_who_has_the_port_while_its_files_come_and_go() -> None:
    done = Event()

    def open_and_close() -> None:
        while not done.is_set():
            for descriptor in [os.dup(2) for _ in range(100)]:
                os.close(descriptor)

    busy = Thread(target=open_and_close)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        last = fcntl.fcntl(taken, fcntl.F_DUPFD, 500)  # behind those that come and go
    with socket.socket(fileno=last) as taken:
        busy.start()
        try:
            found = {port(f"127.0.0.1:{taken.getsockname()[1]}").says for _ in range(20)}
        finally:
            done.set()
            busy.join()
    assert all(f"(process {os.getpid()})" in says for says in found), found


def test_nobody_answers() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
        # It accepts connections and never answers.
        assert fault(address, timeout=0.5) == ("http/2", "no answer: no answer in time")
    assert fault(address)[0] == "tcp"
    assert "connection refused" in fault(address)[1]
    assert fault("no.such.host.invalid:50051")[0] == "name"


class Old(BaseHTTPRequestHandler):
    default_request_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass


def test_another_program_answers() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Old) as old:
        serving = Thread(target=old.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        assert fault(f"127.0.0.1:{old.server_port}") == ("http/2", "the server speaks HTTP/1 only")
        old.shutdown()
        serving.join()


def test_tls(shared: Server, tmp_path: Path) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    for folder in (ours, others):
        authority(folder, "localhost")
    ca = str(ours / "ca.pem")
    pair: dict[str, Any] = {"cert": str(ours / "client.pem"), "key": str(ours / "client.key")}
    stranger: dict[str, Any] = {"cert": str(others / "client.pem"), "key": str(others / "client.key")}
    with serve(**mtls(ours)) as server:
        address = f"localhost:{server.port}"
        sound = found(address, ca=ca, **pair)
        assert [finding.check for finding in sound] == [*STEPS[:2], "tls", *STEPS[2:]]
        assert {finding.state for finding in sound} == {"ok"}
        assert fault(address, ca=str(others / "ca.pem"), **pair) == (
            "tls",
            "the server's certificate is of a CA that is not trusted here",
        )
        assert fault(address, ca=ca) == ("tls", "the server wants a client certificate")
        assert fault(address, ca=ca, **stranger) == (
            "tls",
            "the server does not know the CA of our certificate",
        )
        assert fault(address) == ("tls", "the server wants TLS")
        assert "is not for 127.0.0.1" in fault(server.address, ca=ca, **pair)[1]
        missing = str(tmp_path / "none.pem")
        assert fault(address, ca=missing) == ("tls", f"{missing}: no such file or directory")
        assert "is not the key of" in fault(address, ca=ca, cert=pair["cert"], key=stranger["key"])[1]
    assert fault(shared.address, ca=ca) == ("tls", "the server does not speak TLS")


def test_an_expired_certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Nothing public makes certificates that have expired: these were valid until four minutes ago.
    monkeypatch.setattr(certificates, "_VALID", timedelta(minutes=1))
    authority(tmp_path / "certs", "localhost")
    ca = str(tmp_path / "ca.pem")
    monkeypatch.undo()
    # The CA has expired with it; the answer is the same where only the server's certificate has.
    Path(ca).write_bytes((tmp_path / "certs" / "ca.pem").read_bytes())
    with serve(**tls(tmp_path / "certs")) as server:
        assert fault(f"localhost:{server.port}", ca=ca) == (
            "tls",
            "the server's certificate has expired",
        )


def test_an_address_of_several_servers_is_that_of_a_client() -> None:
    found = port("a.example:50051,b.example:50051")
    assert (found.check, found.state) == ("port", "warn")
    assert "several servers" in found.says
