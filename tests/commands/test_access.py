"""Tokens for commands: from files, the environment, logins, and servers on this machine."""

import os
import pty
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

from conexiones import Client, local_servers
from conexiones.secret_form import TOKEN, made_of
from conexiones.testing import Server, serve
from tests.commands.shell import CLI, Shell, ended, lines, said
from tests.support import admin
from tests.support.certificates import authority, mtls, tls
from tests.support.kept import DECODE_SECONDS
from tests.support.paths import ROOT

PHOTOGRAPH = str(ROOT / "client" / "image" / "elephant.jpg")
UNKNOWN = made_of(TOKEN, b"\7" * 32)
WANTED = (
    "conexiones: The server wants a token: conexiones login, --token-file or CONEXIONES_TOKEN gives it one."
)


@contextmanager
def guarded_at(home: Path, **settings: Any) -> Iterator[Server]:
    """A server that asks for credentials, of a user with that home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
            patch.delenv(name, raising=False)
        with serve(auth="required", decode_seconds=DECODE_SECONDS, **settings) as server:
            yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of whoever runs the server."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def guarded(home: Path) -> Iterator[Server]:
    with guarded_at(home) as server:
        yield server


def shell_of(server: Server, home: Path, folder: Path) -> Shell:
    shell = Shell(folder, server.address)
    for name in list(shell.environ):
        if name.startswith(("XDG_", "CONEXIONES_")) and name != "CONEXIONES_ADDRESS":
            del shell.environ[name]
    shell.environ["HOME"] = str(home)
    return shell


@pytest.fixture
def owner(guarded: Server, home: Path, tmp_path: Path) -> Shell:
    """The shell of whoever runs the server."""
    return shell_of(guarded, home, tmp_path)


@pytest.fixture
def other(guarded: Server, tmp_path: Path) -> Shell:
    """The shell of somebody else, who has no token yet."""
    return shell_of(guarded, tmp_path / "elsewhere", tmp_path)


def test_the_owner_of_a_server_needs_no_token(owner: Shell, guarded: Server) -> None:
    for address in (guarded.address, f"localhost:{guarded.port}"):
        assert (
            b"token:admin may read, write, delete and admin." in owner("whoami", "--address", address).stdout
        )
    notes = Path(owner.environ["HOME"], ".local", "state", "conexiones", "servers")
    assert [note.name for note in notes.iterdir()] == [guarded.address]
    assert (notes / guarded.address).read_text() == str(guarded.data_dir)
    assert notes.stat().st_mode & 0o777 == 0o700
    assert (notes / guarded.address).stat().st_mode & 0o777 == 0o600
    assert (guarded.data_dir / "admin-token").stat().st_mode & 0o777 == 0o600


def test_others_do_not_find_it(other: Shell, guarded: Server) -> None:
    assert said(other("ls", status=1)) == [WANTED]
    # Whoever may read the data folder may name it.
    assert b"token:admin" in other("whoami", CONEXIONES_DATA_DIR=str(guarded.data_dir)).stdout


@pytest.mark.parametrize(
    "words",
    [
        ("ls",),
        ("ls", "--json"),
        ("watch",),
        ("get", "00000000-0000-7000-8000-000000000000"),
        ("get", "00000000-0000-7000-8000-000000000000", "--width", "9"),
        ("hello", "Ana"),
        ("link", "00000000-0000-7000-8000-000000000000"),
        ("token", "ls"),
        ("token", "create", "x", "--scopes", "read"),
        ("ticket", "create"),
        ("link-key", "rotate"),
        ("whoami",),
    ],
)
def test_every_command_says_in_one_sentence_what_is_wrong(
    other: Shell, guarded: Server, words: tuple[str, ...]
) -> None:
    assert said(other(*words, status=1)) == [WANTED]
    id, revoked = admin.create(guarded, "read")
    admin.revoke(guarded, id)
    for token, why in (
        (UNKNOWN, "The server does not know this credential."),
        (revoked, "The credential was revoked."),
        (UNKNOWN[:-1], "This is not a whole token: a character is wrong or missing."),
    ):
        ran = other(*words, status=1, CONEXIONES_TOKEN=token)
        assert said(ran) == [f"conexiones: {why} (It is that of CONEXIONES_TOKEN.)"]
        assert token.encode() not in ran.stdout + ran.stderr


def test_files_are_not_tried_one_by_one_by_who_is_not_let_in(other: Shell, guarded: Server) -> None:
    folder = other.folder / "images"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.jpg").write_bytes(b"no image")
    _, reader = admin.create(guarded, "read")
    for token, why in (
        ("", WANTED.removeprefix("conexiones: ")),
        (reader, "The credential does not have the scope `write`, which this call needs."),
    ):
        (line,) = said(other("put", "images", "--concurrency", "1", status=1, CONEXIONES_TOKEN=token))
        assert line == f"conexiones: images/0.jpg: {why}"
    (line,) = said(other("rm", "x", "y", "z", status=1, CONEXIONES_TOKEN=reader))
    assert line.startswith("conexiones: x: The credential does not have the scope `delete`")


def test_a_file_that_cannot_be_read_is_named_once(other: Shell) -> None:
    for name in ("one.jpg", "two.jpg"):
        (other.folder / name).write_bytes(b"no image")
    for environ, words in (({"CONEXIONES_TOKEN_FILE": "none"}, ()), ({}, ("--token-file", "none"))):
        other.environ |= environ
        ran = other("put", "one.jpg", "two.jpg", *words, status=1)
        assert said(ran) == ["conexiones: none: No such file or directory."]
    (line,) = said(other("ls", "--token-file", "one.jpg", status=1))
    assert line == (
        "conexiones: This is not a whole token: a character is wrong or missing. (It is that of one.jpg.)"
    )


def test_a_token_and_an_image_on_one_standard_input(other: Shell, guarded: Server, photograph: bytes) -> None:
    _, secret = admin.create(guarded, "write")
    ran = other("put", "--json", "-", "--token-file", "-", text=f"{secret}\n".encode() + photograph)
    assert lines(ran)[0]["size_bytes"] == len(photograph)


def test_what_is_no_token_on_standard_input(other: Shell, guarded: Server, photograph: bytes) -> None:
    for text in (photograph, b"", b"\n", b"a" * 10**6):
        (line,) = said(other("login", guarded.address, status=1, text=text))
        assert line.startswith("conexiones: This is not a whole token")


def test_a_pipe_gives_its_token_once(other: Shell, guarded: Server) -> None:
    id, secret = admin.create(guarded, "read", name="piped")
    other.environ["SECRET"] = secret
    assert b"token:piped" in other.bash('conexiones whoami --token-file <(echo "$SECRET")').stdout
    admin.revoke(guarded, id)
    ran = other.bash('conexiones whoami --token-file <(echo "$SECRET")', status=1)
    assert b"The credential was revoked." in ran.stderr


def test_login_keeps_a_token_for_one_server(other: Shell, guarded: Server) -> None:
    _, secret = admin.create(guarded, "read", "write", name="shop", own=True)
    kept = Path(other.environ["HOME"], ".config", "conexiones", "tokens", guarded.address)
    for wrong in (b"", b"nothing\n", UNKNOWN.encode()):
        assert said(other("login", guarded.address, status=1, text=wrong))[0].startswith("conexiones: ")
        assert not kept.exists()
    ran = other("login", guarded.address, text=f"{secret}\n".encode())
    assert ran.stdout.decode() == f"token:shop may read and write. The token is kept in {kept}.\n"
    assert kept.read_text() == f"{secret}\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    (who,) = lines(other("whoami", "--json"))
    assert (who["subject"], who["scopes"], who["own"]) == ("token:shop", ["read", "write"], True)
    # The environment goes before it, and a file that is named before that.
    _, second = admin.create(guarded, "read", name="second")
    _, third = admin.create(guarded, "read", name="third")
    (other.folder / "second").write_text(second)
    for token, subject in (("", "token:second"), (third, "token:third")):
        ran = other("whoami", "--json", CONEXIONES_TOKEN_FILE="second", CONEXIONES_TOKEN=token)
        assert lines(ran)[0]["subject"] == subject
    ran = other("whoami", "--json", "--token-file", "second", CONEXIONES_TOKEN=third)
    assert lines(ran)[0]["subject"] == "token:second"
    ran = other("whoami", "--json", "--token-file", "-", CONEXIONES_TOKEN=third, text=second.encode())
    assert lines(ran)[0]["subject"] == "token:second"
    # It is for that server only.
    assert b"No server answers" in other("ls", "--address", "127.0.0.1:1", "--timeout", "1", status=1).stderr
    other("logout", guarded.address)
    assert not kept.exists()
    assert said(other("ls", status=1)) == [WANTED]
    assert said(other("logout", guarded.address, status=1)) == [
        f"conexiones: No token is kept for {guarded.address}."
    ]
    for command in ("login", "logout"):
        assert b"has no port" in other(command, "nowhere", status=2, text=secret.encode()).stderr


def test_login_asks_without_showing_what_is_typed(other: Shell, guarded: Server) -> None:
    _, secret = admin.create(guarded, "read")
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        process = subprocess.Popen(
            [*CLI, "login", guarded.address],
            env=other.environ,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        with ended(process):
            shown = b""
            while b"Token: " not in shown:
                shown += terminal.read(1)
            terminal.write(f"{secret}\n".encode())
            while b"is kept in" not in shown:
                shown += terminal.read(1)
            assert process.wait() == 0
    assert secret.encode() not in shown


def test_a_server_that_asks_for_no_token(shared: Server, tmp_path: Path) -> None:
    shell = shell_of(shared, tmp_path, tmp_path)
    (line,) = said(shell("login", shared.address, status=1, text=UNKNOWN.encode()))
    assert line == f"conexiones: {shared.address} asks for no token, so that none is kept."
    assert b"Everybody may read, write, delete and admin." in shell("whoami").stdout
    shell("hello", "Ana", CONEXIONES_TOKEN=UNKNOWN)


def test_tokens_are_made_listed_and_revoked(owner: Shell, other: Shell) -> None:
    ran = owner(
        *("token", "create", "camera", "--scopes", "write,read", "--own", "--expires", "90d"),
        *("--quota-bytes", "10GB", "--quota-images", "5", "--quota-uploads", "2"),
        *("--rate-calls", "50", "--rate-bytes", "1MiB"),
    )
    secret = ran.stdout.decode().strip()
    assert re.fullmatch(r"cnx_[0-9A-Za-z]{49}", secret)
    assert secret.encode() not in ran.stderr
    (told,) = said(ran)
    id = told.removesuffix(".").rpartition(" ")[2]
    ran = other("whoami", CONEXIONES_TOKEN=secret)
    assert b"token:camera may read and write, and sees only what is its own." in ran.stdout
    for said_of in (
        b"of 10.0 GB stored",
        b"of 5 images",
        b"of 2 open uploads",
        b"At most 50 calls and 1.0 MB",
    ):
        assert said_of in ran.stdout
    (row,) = [one for one in lines(owner("token", "ls", "--json")) if one["id"] == id]
    assert (row["name"], row["scopes"], row["own"]) == ("camera", ["read", "write"], True)
    assert row["quota"] == {
        "stored_bytes": 10**10,
        "stored_images": 5,
        "open_uploads": 2,
        "calls_per_second": 50.0,
        "bytes_per_second": 2**20,
    }
    listed = owner("token", "ls").stdout.decode()
    assert re.search(rf"^{id}  camera +read,write own .* until ", listed, re.MULTILINE)
    assert secret not in listed
    # The hour in which it was used began before it was made, and may have ended just now.
    assert re.search(rf"^{id} .* used +(< 1 h|1 h) ", listed, re.MULTILINE)
    owner("token", "revoke", "camera")
    assert id not in owner("token", "ls").stdout.decode()
    assert re.search(rf"^{id} .* revoked ", owner("token", "ls", "--all").stdout.decode(), re.MULTILINE)
    (line,) = said(owner("token", "revoke", "camera", status=1))
    assert line == "conexiones: camera: There is no token with this id."


def test_of_two_tokens_of_one_name_one_is_revoked_by_its_id(owner: Shell) -> None:
    ids = []
    for _ in range(2):
        (made,) = lines(owner("token", "create", "twin", "--scopes", "read", "--json"))
        assert made["secret"].startswith("cnx_")
        ids.append(made["id"])
    (line,) = said(owner("token", "revoke", "twin", status=1))
    assert all(id in line for id in ids)
    owner("token", "revoke", ids[0])
    owner("token", "revoke", "twin")
    assert not {*ids} & {one["id"] for one in lines(owner("token", "ls", "--json"))}


@pytest.mark.parametrize(
    "words",
    [
        ("--scopes", "fly"),
        ("--scopes", ""),
        (),
        *(("--scopes", "read", "--expires", wrong) for wrong in ("0d", "soon", "1y", "-1d", "99999999999w")),
        *(("--scopes", "read", "--quota-bytes", wrong) for wrong in ("many", "-1", "1.5GB", "9" * 30)),
    ],
)
def test_a_token_that_cannot_be_made(owner: Shell, words: tuple[str, ...]) -> None:
    owner("token", "create", "x", *words, status=2)


def test_a_link_and_a_ticket(owner: Shell, other: Shell, guarded: Server, photograph: bytes) -> None:
    (image,) = lines(owner("put", "--json", PHOTOGRAPH))
    link = owner("link", image["id"], "--expires", "5m").stdout.decode().strip()
    assert link.startswith(f"http://{guarded.address}/images/{image['id']}?")
    with urlopen(link) as reply:
        assert reply.read() == photograph
    small = owner("link", image["id"], "--width", "32", "--format", "png", "--base", "http://x.example/")
    path = small.stdout.decode().strip().removeprefix("http://x.example")
    with urlopen(f"http://{guarded.address}{path}") as reply:
        assert reply.headers["content-type"] == "image/png"
    assert said(owner("link", image["id"], "--expires", "8d", status=1)) == [
        "conexiones: --expires takes 1 to 604800 seconds."
    ]

    ran = owner("ticket", "create", "--max-images", "2", "--formats", "jpeg,png", "--max-bytes", "1MB")
    ticket = ran.stdout.decode().strip()
    assert ticket.startswith("cnt_")
    (other.folder / "images").mkdir()
    (other.folder / "images" / "one.jpg").write_bytes(photograph)
    ran = other("put", "images", CONEXIONES_TOKEN=ticket)
    assert b"one.jpg" in ran.stdout
    assert said(other("ls", status=1, CONEXIONES_TOKEN=ticket)) == [
        "conexiones: The credential does not have the scope `read`, which this call needs."
    ]
    (made,) = lines(owner("ticket", "create", "--json"))
    owner("token", "revoke", made["id"])
    ended_ticket = other("put", "images", status=1, CONEXIONES_TOKEN=made["secret"])
    # The server soon forgets tickets that have ended.
    assert re.search(rb"was revoked|does not know", ended_ticket.stderr)


def test_links_end_when_their_key_does(owner: Shell) -> None:
    (image,) = lines(owner("put", "--json", PHOTOGRAPH))
    link = owner("link", image["id"]).stdout.decode().strip()
    key = owner("link-key", "rotate").stdout.decode().strip()
    with urlopen(link) as reply:
        assert reply.status == 200
    other_key = owner("link-key", "rotate", "--end-links").stdout.decode().strip()
    with pytest.raises(HTTPError, match="401"):
        urlopen(link)
    assert len({key, other_key}) == 2
    assert f"key={other_key}" in owner("link", image["id"]).stdout.decode()


def test_put_with_a_token_that_may_only_write(other: Shell, guarded: Server, photograph: bytes) -> None:
    _, writer = admin.create(guarded, "write")
    (other.folder / "images").mkdir()
    for name in ("one.jpg", "two.jpg"):
        (other.folder / "images" / name).write_bytes(photograph)
    for _ in range(2):  # what is there already cannot be asked for, so that all is sent
        assert len(other("put", "images", CONEXIONES_TOKEN=writer).stdout.splitlines()) == 2


def test_a_watch_ends_when_its_token_is_revoked(other: Shell, guarded: Server) -> None:
    id, secret = admin.create(guarded, "read")
    other.environ["CONEXIONES_TOKEN"] = secret
    process = other.start("watch")
    with ended(process):
        assert process.stderr.readline() == b"conexiones: Listening; Ctrl-C ends it.\n"
        admin.revoke(guarded, id)
        _, err = process.communicate()
        assert b"The credential was revoked." in err
        assert process.returncode == 1


def test_a_token_goes_nowhere_without_encryption(other: Shell, guarded: Server) -> None:
    other.environ["CONEXIONES_TOKEN"] = guarded.token
    (line,) = said(other("ls", "--address", "192.0.2.1:50051", status=2))
    assert line.startswith("conexiones: The token would go to 192.0.2.1:50051 without encryption")
    doctor = other("doctor", "--server", "192.0.2.1:50051", status=1).stdout
    assert b"without encryption" in doctor
    assert guarded.token.encode() not in doctor


def test_the_doctor_says_who_calls(owner: Shell, other: Shell, guarded: Server) -> None:
    found = owner("doctor", "--server", guarded.address).stdout.decode()
    assert re.search(r"^ok    access +token:admin may read, write, delete, admin$", found, re.MULTILINE)
    found = other("doctor", "--server", guarded.address, status=1).stdout.decode()
    assert re.search(r"^FAIL  access .*\n +Give a token: ", found, re.MULTILINE)


def test_over_tls(tmp_path: Path) -> None:
    authority(tmp_path)
    ca = str(tmp_path / "ca.pem")
    with guarded_at(tmp_path, **tls(tmp_path)) as server:
        owner = shell_of(server, tmp_path, tmp_path)
        name = f"localhost:{server.port}"
        assert b"token:admin" in owner("whoami", "--ca", ca, "--address", name).stdout
        _, secret = lines_of_new(owner, ca)
        other = shell_of(server, tmp_path / "other", tmp_path)
        other("login", name, "--ca", ca, text=secret.encode())
        assert b"token:new" in other("whoami", "--ca", ca, "--address", name).stdout


def test_a_certificate_says_who_calls(tmp_path: Path) -> None:
    authority(tmp_path)
    way = [f"--{name}={tmp_path / file}" for name, file in (("ca", "ca.pem"), ("cert", "client.pem"))]
    way.append(f"--key={tmp_path / 'client.key'}")
    with guarded_at(tmp_path, **mtls(tmp_path)) as server:
        owner = shell_of(server, tmp_path, tmp_path)
        (who,) = lines(owner("whoami", "--json", *way))
        assert who["subject"].startswith("certificate:")
        token_file = str(server.data_dir / "admin-token")
        (who,) = lines(owner("whoami", "--json", *way, "--token-file", token_file))
        assert who["subject"] == "token:admin"


def lines_of_new(shell: Shell, ca: str) -> tuple[str, str]:
    (made,) = lines(shell("token", "create", "new", "--scopes", "read", "--ca", ca, "--json"))
    return made["id"], made["secret"]


def test_a_token_is_not_given_to_whoever_has_the_port_now(tmp_path: Path) -> None:
    """A server that was killed leaves its note and its token, and another program its port."""
    with guarded_at(tmp_path) as server:
        token, address, port = server.token, server.address, server.port
        notes = tmp_path / ".local" / "state" / "conexiones" / "servers"
        server.kill()
        assert (notes / address).exists()
        heard: list[bytes] = []
        with socket.create_server(("127.0.0.1", port)) as thief:

            def listen() -> None:
                connection, _ = thief.accept()
                connection.settimeout(60)
                with connection:
                    heard.append(connection.recv(65536))

            listening = threading.Thread(target=listen)
            listening.start()
            shell = shell_of(server, tmp_path, tmp_path)
            shell("whoami", "--timeout", "2", status=1, CONEXIONES_DATA_DIR=str(server.data_dir))
            listening.join()
        assert heard
        assert token.encode() not in b"".join(heard)
        assert local_servers.admin_token(address, [server.data_dir], shell.environ) is None
        # The next server of the same user removes the note.
        with guarded_at(tmp_path) as following:
            assert [note.name for note in notes.iterdir()] == [following.address]
        assert list(notes.iterdir()) == []


def test_a_home_that_takes_no_notes_is_no_reason_not_to_start(tmp_path: Path) -> None:
    (tmp_path / ".local").write_text("a file")
    with guarded_at(tmp_path) as server, server.client() as client:
        assert client.access().subject == "token:admin"


def test_no_list_of_processes_has_a_secret(owner: Shell, other: Shell, guarded: Server) -> None:
    """While commands run with tokens from everywhere, and of the server itself."""
    id, secret = admin.create(guarded, "read", "admin")
    (other.folder / "token").write_text(secret)
    other("login", guarded.address, text=secret.encode())
    secrets = {secret.encode(), guarded.token.encode()}
    for words, environ in (
        (("watch",), {}),
        (("watch",), {"CONEXIONES_TOKEN": secret}),
        (("watch", "--token-file", "token"), {}),
    ):
        other.environ |= environ
        process = other.start(*words)
        with ended(process):
            assert b"Listening" in process.stderr.readline()
            running = [psutil.Process(process.pid), psutil.Process(guarded.pid)]
            running += [child for one in list(running) for child in one.children(recursive=True)]
            for one in running:
                with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                    shown = [Path(f"/proc/{one.pid}/{name}").read_bytes() for name in ("cmdline", "comm")]
                    assert not any(each in text for each in secrets for text in shown)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
            assert not any(each in out + err for each in secrets)
    admin.revoke(guarded, id)
    assert not any(each.decode() in guarded.log for each in secrets)


def test_the_testing_server_knows_its_token(guarded: Server, shared: Server) -> None:
    with guarded.client(timeout=20) as client:
        assert isinstance(client, Client)
        assert client.access().subject == "token:admin"
    assert shared.token == ""
    with shared.client() as client:
        assert client.access().subject == ""
