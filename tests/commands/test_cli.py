"""The client's commands: output, exit status, interruption. Of each, some run in an interpreter of their own,
as users run them (`anew`)."""

import fcntl
import hashlib
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from PIL import Image

from conexiones import Client
from conexiones.testing import Server
from tests.commands.shell import CLI, NOBODY, Shell, ended, lines
from tests.support.bitmaps import bitmap
from tests.support.clients import need
from tests.support.waiting import DEADLINE


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def test_put_ls_get_rm(shell: Shell, photograph: bytes, tmp_path: Path, somebody: str) -> None:
    (tmp_path / "album" / "deeper").mkdir(parents=True)
    (tmp_path / "album" / "a.jpg").write_bytes(photograph)
    (tmp_path / "album" / "deeper" / "b.bmp").write_bytes(b"".join(bitmap(100, 100)))
    (tmp_path / "album" / ".hidden").write_bytes(b"none")
    put = lines(shell.anew("put", "album", "--user", somebody, "--json"))
    assert {(row["file"], row["format"]) for row in put} == {
        ("album/a.jpg", "JPEG"),
        ("album/deeper/b.bmp", "BMP"),
    }
    assert shell("put", "album", "--quiet").stdout == b""
    said = shell("put", "album/a.jpg", "--user", somebody).stdout.decode()
    assert re.fullmatch(r"[0-9a-f-]{36}  JPEG +1280 × 853 +317\.6 kB  album/a\.jpg\n", said)
    listed = lines(shell.anew("ls", "--user", somebody, "--json"))
    assert len(listed) == 3
    assert ids(lines(shell("ls", "--user", somebody, "--json", "--limit", "2"))) == ids(listed[:2])
    assert ids(lines(shell("ls", "--user", somebody, "--json", "--since", "1h"))) == ids(listed)
    assert lines(shell("ls", "--user", somebody, "--json", "--until", "2020-01-01")) == []
    assert shell("ls", "--user", somebody).stdout.count(b"\n") == 3
    id = said[:36]
    shell.anew("get", id)
    assert (tmp_path / f"{id}.jpg").read_bytes() == photograph
    assert shell("get", id, "-o", "-").stdout == photograph
    assert lines(shell("get", id, "-o", "c.jpg", "--json"))[0]["id"] == id
    assert (tmp_path / "c.jpg").read_bytes() == photograph
    assert shell.anew("rm", id).stdout == b""
    gone = shell.anew("rm", id, NOBODY, status=1).stderr.decode().splitlines()
    assert gone == [f"conexiones: {one}: There is no image with this id." for one in (id, NOBODY)]
    assert shell("get", id, status=1).stderr == b"conexiones: There is no image with this id.\n"


def shown(path: Path) -> tuple[str | None, tuple[int, int]]:
    """The format, and the size in pixels."""
    with Image.open(path) as image:
        return image.format, image.size


def test_get_a_rendition(shell: Shell, photograph: bytes, tmp_path: Path) -> None:
    id = lines(shell("put", "-", "--json", text=photograph))[0]["id"]
    form = ("get", id, "--width", "320", "--height", "200", "--fit", "cover", "--format", "webp")
    said = shell(*form, "--quality", "80").stdout.decode()
    name = f"{id}-320x200.webp"
    assert re.fullmatch(rf"{id}  WEBP +320 × 200 +\d+\.\d kB  {name}\n", said)
    assert shown(tmp_path / name) == ("WEBP", (320, 200))
    assert shell(*form, "-o", "-").stdout == (tmp_path / name).read_bytes()
    made = lines(shell("get", id, "--width", "100", "-o", "small", "--json"))[0]
    assert shown(tmp_path / "small") == ("JPEG", (100, 67))
    assert (made["file"], made["id"], made["format"], made["width"]) == ("small", id, "JPEG", 100)
    assert made["sha256"] == hashlib.sha256((tmp_path / "small").read_bytes()).hexdigest()
    refused = shell("get", id, "--fit", "cover", "--width", "10", status=1).stderr
    assert refused == b"conexiones: --height takes 1 to 8192 with the fit COVER.\n"
    assert b"Usage:" in shell("get", id, "--format", "gif", status=2).stderr
    assert {path.name for path in tmp_path.iterdir()} == {name, "small"}


def test_standard_input(shell: Shell, photograph: bytes) -> None:
    assert lines(shell("put", "-", "--json", text=photograph))[0]["width"] == 1280


def test_every_failure_is_one_sentence_and_the_rest_goes_on(
    shell: Shell, photograph: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph)
    (tmp_path / "b.txt").write_bytes(b"no image")
    (tmp_path / "c.jpg").write_bytes(b"")
    ran = shell("put", "b.txt", "a.jpg", "c.jpg", "none.jpg", "--json", status=1)
    assert sorted(ran.stderr.decode().splitlines()) == [
        "conexiones: b.txt: The bytes are not an image of any known format.",
        "conexiones: c.jpg: The image is empty: not one byte of it came.",
        "conexiones: none.jpg: No such file or directory.",
    ]
    found = {row["file"]: row for row in lines(ran)}
    assert len(found["b.txt"]["error"].pop("request_id")) == 36
    assert found["b.txt"]["error"] == {
        "reason": "NOT_AN_IMAGE",
        "message": "The bytes are not an image of any known format.",
    }
    assert found["a.jpg"]["format"] == "JPEG"
    # No state file is left for what was refused.
    assert {path.name for path in tmp_path.iterdir()} == {"a.jpg", "b.txt", "c.jpg"}


def test_usage_and_no_server(shell: Shell) -> None:
    for wrong in (
        ("put",),
        ("get",),
        ("ls", "--since", "soon"),
        ("completion", "sh"),
        ("hello", "A", "--pow", "x"),
        ("ls", "--cert", "ours.pem"),
        ("ls", "--key", "ours.key"),
    ):
        assert b"Usage:" in shell(*wrong, status=2).stderr
    refused = shell("ls", "--address", "127.0.0.1:1", status=1).stderr.decode()
    assert refused == (
        "conexiones: No server answers at 127.0.0.1:1: Failed to connect to remote host: Connection refused."
        " (conexiones doctor --server 127.0.0.1:1 says more.)\n"
    )
    assert b"No such file" in shell("ls", "--ca", "none.pem", status=1).stderr
    # The sentence is alone: gRPC's own log lines about TLS are not printed.
    untrusted = shell.anew("ls", "--tls", status=1).stderr.decode()
    assert re.fullmatch(r"conexiones: No server answers at .*\. \(.* says more\.\)\n", untrusted), untrusted


def test_health(shell: Shell) -> None:
    assert shell("health").stdout == b"SERVING\n"
    assert shell("health", "--service", "user.UsuarioServicio").stdout == b"SERVING\n"
    assert "conexiones:" in shell("health", "--service", "user.Nobody", status=1).stderr.decode()
    assert "conexiones:" in shell("health", "--address", "127.0.0.1:1", status=1).stderr.decode()


def test_hello(shell: Shell, photograph: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph)
    said = shell.anew("hello", "Ana", "--pow", "12", "--image", "a.jpg").stdout.decode()
    assert said.startswith("¡Hola, Ana! Tu pow es 12 y su cuadrado es 144.")
    assert lines(shell("hello", "Ana", "--json"))[0]["pow_squared"] == 144
    assert "name" in shell("hello", "", status=1).stderr.decode()


def test_completion(shell: Shell) -> None:
    for name in ("bash", "zsh", "fish"):
        assert b"_CONEXIONES_COMPLETE" in shell.anew("completion", name).stdout


def test_watch_says_what_happens_until_interrupted(shell: Shell, shared: Server, photograph: bytes) -> None:
    with Client(shared.address) as client:
        # The first heartbeat has a token, with which a later watch is told all events from then on.
        tokens: Queue[str] = Queue()
        events = client.watch(ready=tokens.put)
        first = client.upload(photograph)
        with ThreadPoolExecutor(1) as thread:
            following = thread.submit(next, events)
            token = tokens.get()
            second = client.upload(photograph)
            following.result()
        events.close()
        with shell.start("watch", "--json", "--token", token) as process, ended(process):
            assert process.stdout
            stored = client.upload(b"".join(bitmap(40, 30)) + os.urandom(16))  # bytes without known facts
            seen: list[dict[str, Any]] = []
            while not seen or seen[-1]["event"] != "described" or seen[-1]["image"]["id"] != stored.id:
                seen.append(json.loads(process.stdout.readline()))
            client.delete(first.id)
            while seen[-1]["event"] != "deleted":
                seen.append(json.loads(process.stdout.readline()))
            # The photograph may be described before the watch begins, or at any time after it.
            seen = [row for row in seen if row["event"] != "described" or row["image"]["id"] == stored.id]
            assert [row["event"] for row in seen] == ["stored", "stored", "described", "deleted"]
            assert [row["image"]["id"] for row in seen[:3]] == [second.id, stored.id, stored.id]
            assert seen[2]["image"]["facts"]["color_space"] == "RGB"
            assert seen[3]["id"] == first.id
            with shell.start("watch", "--token", token) as people, ended(people):
                assert people.stdout
                assert people.stderr
                assert people.stderr.readline() == b"conexiones: Listening; Ctrl-C ends it.\n"
                while not (said := people.stdout.readline().decode()).startswith(f"described  {stored.id}"):
                    assert said.startswith(("stored ", "described "))
                assert re.fullmatch(r"described  \S+  RGB, 8 bits, #[0-9a-f]{6}\n", said)
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE) == 130
            assert process.stderr
            assert process.stderr.read() == b""


def test_an_interrupted_put_is_gone_on_with(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "scan.bmp"
    with path.open("wb") as file:
        for piece in bitmap(16_000, 10_000):
            file.write(piece)
    # On a terminal the progress bar is drawn, which shows when bytes have been transferred.
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*CLI, "put", str(path)],
        env={**shell.environ, "TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        said = b""
        while not re.search(rb"[1-9][0-9.]*/480\.0", said):
            said += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        while not said.endswith(b"conexiones: Interrupted; the same command again goes on.\r\n"):
            said += os.read(ours, 4096)
        assert process.wait(DEADLINE) == 130
    os.close(ours)
    assert path.with_name("scan.bmp.conexiones-upload").exists()
    assert lines(shell("put", str(path), "--json"))[0]["size_bytes"] == path.stat().st_size
    assert [found.name for found in tmp_path.iterdir()] == ["scan.bmp"]
    path.unlink()


def loaded(command: list[str], names: tuple[str, ...]) -> str:
    """Those of the modules that the command has loaded by its end."""
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from conexiones.cli import main\n"
            f"try: main({command!r})\n"
            f"except SystemExit: print([name for name in {names!r} if name in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()[-1]


def test_help_loads_no_grpc() -> None:
    assert loaded(["--help"], ("grpc", "rich", "google")) == "[]"


def test_the_supervisor_does_not_load_the_application() -> None:
    names = (
        "conexiones.transport.process.supervisor",
        "conexiones.app",
        "grpc_reflection",
        "sqlite3",
        "grpc",
    )
    assert loaded(["serve", "--address", "nowhere"], names) == "['conexiones.transport.process.supervisor']"


class Screen:
    """What a terminal shows in the end. Of the control codes it knows those that move up and erase a line."""

    def __init__(self) -> None:
        self.rows = [""]
        self._row = self._column = 0

    def write(self, text: str) -> None:
        for code, up, char in re.findall(r"(\x1b\[(?:(\d+)A|[?0-9;]*[A-Za-z]))|([\s\S])", text):
            if up:
                self._row -= int(up)
            elif code.endswith("[2K"):
                self.rows[self._row] = ""
            elif char == "\r":
                self._column = 0
            elif char == "\n":
                self._row += 1
                self.rows += [""] * (self._row + 1 - len(self.rows))
            elif char:
                line = self.rows[self._row].ljust(self._column)
                self.rows[self._row] = line[: self._column] + char + line[self._column + 1 :]
                self._column += 1


@pytest.mark.parametrize("columns", [60, 160])
def test_bars_and_lines_share_a_terminal(shell: Shell, tmp_path: Path, columns: int) -> None:
    for number in range(8):
        (tmp_path / f"{number} {'a long name ' * 6}.bmp").write_bytes(b"".join(bitmap(1500, 1000)))
    (tmp_path / "no image.txt").write_bytes(b"no image")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environ = {name: value for name, value in shell.environ.items() if name not in {"COLUMNS", "LINES"}}
    with subprocess.Popen(
        [*CLI, "put", "."], cwd=tmp_path, env={**environ, "TERM": "xterm"}, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        screen = Screen()
        said = b""
        with suppress(OSError):  # Linux raises it at the end of the output
            while piece := os.read(ours, 65536):
                said += piece
        assert process.wait(DEADLINE) == 1
    os.close(ours)
    text = said.decode()
    # There were bars, none wider than the terminal, each with its name cut short.
    bars = [line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text)) if "━" in line]
    assert bars
    assert all(len(line) <= columns for line in bars)
    assert all("…" in line for line in bars if "a long" in line and columns == 60)
    screen.write(text)
    # In the end there is one whole line for each file, and nothing else.
    lines = sorted(line.rstrip() for line in screen.rows if line.strip())
    assert [line[36:54] for line in lines[:8]] == ["  BMP       1500 ×"] * 8
    assert lines[8:] == ["conexiones: no image.txt: The bytes are not an image of any known format."]


def test_an_image_is_nothing_for_a_terminal(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    ran = subprocess.run(
        [*CLI, "get", NOBODY, "-o", "-"],
        env=shell.environ,
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert ran.returncode == 2
    assert b"redirect it, or give -o FILE" in ran.stderr


# Does what bash does at Tab, in a bash of its own, and prints the completions.
COMPLETED = """
source <("$0" completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_conexiones_completion conexiones "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "goes_on"),
    [
        (["conexiones", "d"], {"doctor"}),
        (["conexiones", "put", "--con"], {"--concurrency"}),
        (["conexiones", "completion", ""], {"bash", "zsh", "fish"}),
        (["conexiones", "watch", "--js"], {"--json"}),
        (["conexiones", "get", "--fit", "c"], {"cover", "contain"}),
        (["conexiones", "get", "--format", ""], {"jpeg", "png", "webp", "avif"}),
        (["conexiones", "nothing-like-this"], {""}),
    ],
)
def test_completion_in_bash(tmp_path: Path, line: list[str], goes_on: set[str]) -> None:
    bash = need("bash", "apt install bash")
    program = Path(sys.executable).with_name("conexiones")
    environ = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(
        [bash, "--norc", "-c", COMPLETED, str(program), *line],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert set(ran.stdout.split("\n")[:-1]) == goes_on
