"""What is wrong is said in one line that says what to do, whatever is typed."""

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from conexiones.cli import main
from conexiones.testing import Server, serve
from tests.commands.shell import NOBODY, Shell, said
from tests.support.certificates import authority, mtls
from tests.support.paths import ROOT


def names(group: click.Group, before: str = "") -> Iterator[str]:
    """All commands, also those within groups, by the words with which they are called."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield f"{before}{name}"
        if isinstance(command, click.Group):
            yield from names(command, f"{before}{name} ")


COMMANDS = list(names(main))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("localhost", "The address 'localhost' has no port: give HOST:PORT, such as localhost:50051."),
        ("localhost:80000", "The address 'localhost:80000' has the port 80000: ports are 1 to 65535."),
        ("http://host:1", "The address 'http://host:1' is a URL: give HOST:PORT, such as host:1."),
        ("", "The address is empty: give HOST:PORT, such as localhost:50051."),
    ],
)
def test_an_address_that_is_none(shell: Shell, address: str, says: str) -> None:
    assert said(shell("ls", "--address", address, status=2)) == [f"conexiones: {says}"]
    doctor = shell("doctor", "--server", address, status=1).stdout.decode()
    assert f"FAIL  name         {says}\n" in doctor


@pytest.mark.parametrize("seconds", ["inf", "nan", "0", "-1", "1e99", "soon"])
def test_a_timeout_that_is_none(shell: Shell, seconds: str) -> None:
    assert b"timeout" in shell("ls", "--timeout", seconds, status=2).stderr


@pytest.mark.parametrize("number", ["2147483648", "-2147483649", "9" * 30, "1.5", "nan", ""])
def test_a_number_out_of_range_names_its_option(shell: Shell, number: str) -> None:
    assert b"Invalid value for '--pow': " in shell("hello", "Ana", "--pow", number, status=2).stderr


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("ls", "--user"), "user"),
        (("ls", "--name"), "name"),
        (("hello",), "name"),
        (("rm",), "id"),
        (("get",), "id"),
        (("get", "-o", "-"), "id"),
        (("watch", "--token"), "token"),
        (("watch", "--user"), "user"),
        (("put", "a.jpg", "--user"), "user"),
    ],
)
def test_bytes_that_are_no_text_name_the_field(
    shell: Shell, photograph: bytes, words: tuple[str, ...], field: str
) -> None:
    (shell.folder / "a.jpg").write_bytes(photograph)
    (line,) = said(shell(*words, "\udcff", status=1))
    assert re.search(rf"\b{field}\b.*text in UTF-8", line)


@pytest.mark.parametrize("time", ["99999999999w", "0001-01-01", "soon", "", "12"])
def test_a_time_that_is_none(shell: Shell, time: str) -> None:
    assert b"is neither a time such as" in shell("ls", "--since", time, status=2).stderr


def test_tls_that_does_not_fit(tmp_path: Path, shared: Server) -> None:
    authority(tmp_path)
    ca, other = str(tmp_path / "ca.pem"), tmp_path / "other"
    other.mkdir()
    authority(other)
    with serve(**mtls(tmp_path)) as server:
        # Not localhost: of two addresses, the one that answers need not be the one of which gRPC speaks.
        there = Shell(tmp_path, server.address)
        for words, why in (
            ((), "it wants TLS: give tls, or ca with its CA"),
            (("--tls",), "its certificate is of a CA that is not trusted here: give ca"),
            (("--ca", str(other / "ca.pem")), "its certificate is of a CA that is not trusted here: give ca"),
            (("--ca", ca), "it may want a client certificate: give cert and key"),
            (
                ("--ca", ca, "--cert", str(tmp_path / "client.pem"), "--key", str(other / "client.key")),
                "cert and key do not belong together: give the key of that certificate",
            ),
        ):
            (line,) = said(there("ls", *words, status=1))
            assert line.startswith(f"conexiones: No server answers at {there.address}: {why}. ("), words
        (line,) = said(there("health", status=1))
        assert line.startswith(f"conexiones: No server answers at {there.address}: it wants TLS: ")
    here = Shell(tmp_path, shared.address)
    no_pem = "ca, cert or key is not the PEM file that it should be"
    (tmp_path / "no.pem").write_text("nothing")
    (tmp_path / "empty.pem").write_text("")
    for given, why in (
        (("--tls",), "it does not speak TLS: leave tls, ca and cert out"),
        (("--ca", "no.pem"), no_pem),
        (("--ca", "empty.pem"), no_pem),
        (("--cert", "empty.pem", "--key", "client.key"), no_pem),
        (("--cert", "client.pem", "--key", "empty.pem"), no_pem),
        (("--address", "no.such.host.invalid:1"), "its host is not known"),
    ):
        (line,) = said(here("ls", *given, status=1))
        assert f": {why}. (" in line, given


@pytest.mark.parametrize("host", ["", "a b", "a/b", "-o\n", "\udcff", "..", "x" * 64 + ".es"])
def test_no_host_for_a_certificate(shell: Shell, host: str) -> None:
    (line,) = said(shell("certs", "folder", "--host", host, status=1))
    assert line.endswith("is neither the name nor the address of a host.")


def test_what_a_server_says_acts_on_no_terminal(shell: Shell) -> None:
    text = b"\x1b]0;pwned\x07 \xe2\x80\xae"
    goaway = (8 + len(text)).to_bytes(3, "big") + b"\7\0" + bytes(8) + b"\0\0\0\x0b" + text
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):  # it was closed
                while True:
                    with server.accept()[0] as connection:
                        connection.recv(1 << 16)
                        connection.sendall(bytes(3) + b"\4" + bytes(5) + goaway)

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        ran = shell("ls", "--address", f"127.0.0.1:{server.getsockname()[1]}", status=1)
        server.shutdown(socket.SHUT_RDWR)
        answering.join()
    (line,) = said(ran)
    assert "pwned" in line
    assert line.isprintable()


def test_help_is_never_cut() -> None:
    for columns in (64, 80, 100, 200):
        for command in ("", *COMMANDS):
            ran = CliRunner().invoke(main, [*command.split(), "--help"], terminal_width=columns)
            assert ran.exit_code == 0
            assert "..." not in ran.output.replace("[ARGS]...", "")
            assert max(map(len, ran.output.splitlines())) <= columns


def test_the_page_is_what_help_says(shell: Shell) -> None:
    """On a terminal of the page's width: click leaves a margin of two columns."""
    page = (ROOT / "docs" / "cli.md").read_text()
    for name in list(shell.environ):
        if name.startswith("CONEXIONES_"):
            del shell.environ[name]
    for command in ("", *COMMANDS):
        said = shell(*command.split(), "--help", COLUMNS="102").stdout.decode()
        assert f"\n```\n{said}```\n" in page
    # The program that is installed says the same.
    program = str(Path(sys.executable).with_name("conexiones"))
    environ = {**shell.environ, "COLUMNS": "102"}
    ran = subprocess.run([program, "--help"], env=environ, capture_output=True, text=True, check=True)
    assert f"\n```\n{ran.stdout}```\n" in page
    assert "default: localhost:50051" in page
    assert "default: 30.0" in page


def test_ids_that_are_none(shell: Shell) -> None:
    for id in ("nothing", NOBODY, "", "../../etc/passwd", "x" * 10_000):
        (line,) = said(shell("rm", "--", id, status=1))
        assert line.startswith("conexiones: ")
        (line,) = said(shell("get", "--", id, status=1))
        assert line.startswith("conexiones: ")
