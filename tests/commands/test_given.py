"""What is given on the command line: empty values, values of flags, URLs, and images that are sent whole."""

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conexiones import Client
from conexiones.testing import Server
from tests.commands.shell import Shell, lines, said

URL = "http://127.0.0.1:1/a.jpg"


@pytest.mark.parametrize(
    "words",
    [
        ("put", ""),
        ("put", "a.jpg", ""),
        ("put", "a.jpg", "--user", ""),
        ("put", "a.jpg", "--user="),
        ("hello", "Ada", "--image", ""),
        ("ls", "--user", ""),
        ("ls", "--name", ""),
        ("ls", "--ca", ""),
        ("ls", "--cert", "", "--key", ""),
        ("watch", "--token", ""),
        ("certs", ""),
        ("doctor", "--data-dir", ""),
        ("serve", "--data-dir", ""),
        ("serve", "--tls-cert", ""),
        ("serve", "--reflection="),
    ],
)
def test_nothing_empty_is_taken(shell: Shell, photograph: bytes, words: tuple[str, ...]) -> None:
    """It would be that of a variable which is not set."""
    (shell.folder / "a.jpg").write_bytes(photograph)
    ran = shell(*words, status=2)
    assert said(ran)[-1].endswith(": It is empty.")
    assert ran.stdout == b""
    assert [path.name for path in shell.folder.iterdir()] == ["a.jpg"]


def test_an_empty_variable_of_the_environment_is_none(shell: Shell) -> None:
    shell("ls", "--limit", "1", CONEXIONES_CA="", CONEXIONES_CERT="", CONEXIONES_TLS="")


OPEN = "0.0.0.0:0 is open to other machines"


@pytest.mark.parametrize(
    ("flags", "taken"),
    [
        ("", False),
        ("--insecure", True),
        ("--insecure true", True),
        ("--insecure=yes", True),
        ("--insecure on", True),
        ("--insecure --reflection", True),
        ("--insecure --reflection=no --proxy-protocol", True),
        ("--insecure false", False),
        ("--insecure=off", False),
        ("--proxy-protocol true --insecure false", False),
        ("--reflection --insecure no", False),
    ],
)
def test_a_flag_may_have_a_value(shell: Shell, flags: str, taken: bool) -> None:
    # With a port that is taken, the server does not start in any case.
    port = shell.address.rpartition(":")[2] if taken else "0"
    words = ["serve", "--address", f"0.0.0.0:{port}", "--data-dir", "data", *flags.split()]
    (line,) = said(shell(*words, status=1))
    assert (OPEN in line) is not taken
    assert ("another server listens there" in line) is taken


@pytest.mark.parametrize("flag", ["--insecure", "--reflection", "--proxy-protocol"])
def test_a_value_that_is_none(shell: Shell, flag: str) -> None:
    assert said(shell("serve", flag, "maybe", status=1)) == [
        f"conexiones: {flag} takes true or false, not 'maybe'."
    ]


@pytest.mark.parametrize("words", [("-1",), ("--grace-seconds",)])
def test_a_negative_number_is_a_value(shell: Shell, words: tuple[str, ...]) -> None:
    (line,) = said(shell("serve", "--grace-seconds", *words, status=1))
    assert line == f"conexiones: --grace-seconds takes seconds, from 0 to 86400, not {words[0]!r}."


def test_certificates_are_replaced_only_if_that_is_said(shell: Shell) -> None:
    shell.anew("certs", "made")
    before = {path.name: path.read_bytes() for path in (shell.folder / "made").iterdir()}
    (line,) = said(shell("certs", "made", status=1))
    assert line.startswith("conexiones: made/ca.pem is there already: ")
    assert "--replace" in line
    # One of the files is enough, even as a link to nothing.
    (shell.folder / "other").mkdir()
    (shell.folder / "other" / "client.key").symlink_to("nothing")
    (line,) = said(shell("certs", "other", status=1))
    assert line.startswith("conexiones: other/client.key is there already: ")
    assert len(list((shell.folder / "other").iterdir())) == 1
    assert {path.name: path.read_bytes() for path in (shell.folder / "made").iterdir()} == before
    shell("certs", "made", "--replace")
    assert not {path.read_bytes() for path in (shell.folder / "made").iterdir()} & {*before.values()}
    # A host that is none leaves nothing behind.
    shell("certs", "third", "--host", "a b", status=1)
    shell("certs", "third")


def test_an_id_twice_is_one_image(shell: Shell, photograph: bytes, shared: Server) -> None:
    with Client(shared.address) as client:
        id = client.upload(photograph).id
    shell("rm", id, id)


def test_an_image_for_hello(shell: Shell, photograph: bytes) -> None:
    (shell.folder / "a.jpg").write_bytes(photograph)
    (shell.folder / "zero.jpg").write_bytes(b"")
    hello = ("hello", "Ada", "--json", "--image")
    assert lines(shell(*hello, "-", text=photograph))[0]["image_id"]
    assert lines(shell.bash(f"conexiones {shlex.join(hello)} <(cat a.jpg)"))[0]["image_id"]
    assert said(shell(*hello, "zero.jpg", status=1)) == ["conexiones: The image is empty."]
    assert said(shell(*hello, "-", status=1)) == ["conexiones: The image is empty."]
    assert said(shell(*hello, "none.jpg", status=1)) == ["conexiones: none.jpg: No such file or directory."]
    assert said(shell(*hello, ".", status=1)) == ["conexiones: .: This is a folder."]
    with (shell.folder / "large.jpg").open("wb") as file:
        file.write(photograph)
        file.truncate(3 << 30)
    (line,) = said(shell(*hello, "large.jpg", status=1))
    assert line.endswith(" Send it with: conexiones put --user Ada large.jpg.")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("put", URL), "curl -fL URL | conexiones put -."),
        (("put", URL.upper()), "curl -fL URL | conexiones put -."),
        (("put", "ftp://host/a.jpg"), "curl -fL URL | conexiones put -."),
        (("put", "file:///a.jpg"), "give the path of the file."),
        (("put", "file:a.jpg"), "give the path of the file."),
        (("put", "data:image/png;base64," + "A" * 9000), "Decode it, and send its bytes: conexiones put -."),
        (("hello", "Ana B", "--image", URL), "curl -fL URL | conexiones hello 'Ana B' --image -."),
        (("get", "id", "-o", URL), "a download goes to a file or a folder."),
        (("get", "id", "-o", "file:///tmp/a.jpg"), "a download goes to a file or a folder."),
    ],
)
def test_a_url_is_no_path(shell: Shell, words: tuple[str, ...], says: str) -> None:
    (line,) = said(shell(*words, status=1))
    assert ": This is a URL" in line
    assert line.endswith(says)
    assert not list(shell.folder.iterdir())


def test_a_file_may_look_like_a_url(shell: Shell, photograph: bytes) -> None:
    (shell.folder / "data:a.jpg").write_bytes(photograph)
    (row,) = lines(shell("put", "data:a.jpg", "--json"))
    shell("get", row["id"], "-o", "file:b.jpg")
    assert (shell.folder / "file:b.jpg").read_bytes() == photograph


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("get", "{id}", "--width", "99999"), "--width"),
        (("get", "{id}", "--height", "99999"), "--height"),
        (("get", "{id}", "--fit", "cover", "--width", "10"), "--height"),
        (("get", "{id}", "--animated", "--format", "jpeg"), "--animated"),
        (("watch", "--token", "x"), "--token"),
        (("ls", "--user", "\udcff"), "--user"),
    ],
)
def test_sentences_name_options(
    shell: Shell, photograph: bytes, shared: Server, words: tuple[str, ...], option: str
) -> None:
    with Client(shared.address) as client:
        id = client.upload(photograph).id
    (line,) = said(shell(*(word.format(id=id) for word in words), status=1))
    assert line.startswith(f"conexiones: {option} takes ")


INTERRUPTED = """
import os, runpy, signal, sys

class Finder:
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder)
sys.argv[1:] = ["ls"]
runpy.run_module("conexiones", run_name="__main__")
"""


@pytest.mark.parametrize("module", ["conexiones.cli", "click", "conexiones.settings", "conexiones.sdk"])
def test_ctrl_c_in_the_first_moments(shell: Shell, module: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(module=module)],
        env=shell.environ,
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (128 + signal.SIGINT, b"", b"")


def test_the_command_begins_where_ctrl_c_is_handled() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '\nconexiones = "conexiones.__main__:main"\n' in text
