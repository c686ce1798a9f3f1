"""`put` and `get` with whatever a shell can name: pipes, devices, links, folders, descriptors."""

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.commands.shell import CLI, NOBODY, Shell, ended, lines, said
from tests.support.bitmaps import bitmap
from tests.support.lengths import brief
from tests.support.waiting import DEADLINE


@pytest.fixture
def id(shell: Shell, photograph: bytes) -> str:
    return str(lines(shell("put", "-", "--json", text=photograph))[0]["id"])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "script",
    [
        "conexiones put <(cat a.jpg) --json",
        "cat a.jpg | conexiones put /dev/stdin --json",
        "conexiones put /dev/stdin --json < a.jpg",
        "conexiones put /proc/self/fd/0 --json < a.jpg",
        "cat a.jpg | conexiones put - --json",
        "conexiones put - --json < a.jpg",
        "(head -c 5 > /dev/null; conexiones put - --json) < five-more",
        "mkfifo pipe; cat a.jpg > pipe & conexiones put pipe --json; rm pipe",
        "ln -s a.jpg link; conexiones put link --json; rm link",
    ],
)
def test_sources(shell: Shell, photograph: bytes, script: str) -> None:
    (shell.folder / "a.jpg").write_bytes(photograph)
    (shell.folder / "five-more").write_bytes(b"12345" + photograph)
    around = names(Path("/dev"))
    (image,) = lines(shell.bash(script))
    assert image["size_bytes"] == len(photograph)
    assert image["name"] == ("link" if "link" in script else "")
    assert names(Path("/dev")) == around
    assert names(shell.folder) == ["a.jpg", "five-more"]


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("-", "cat"),
        ("/dev/stdout", "cat"),
        ("/dev/fd/1", "cat"),
        ("/proc/self/fd/1", "cat"),
        ("link", "cat"),
        ("/dev/stdout", "(cat > copy; cat copy; rm copy)"),
    ],
)
def test_standard_output(shell: Shell, id: str, photograph: bytes, target: str, command: str) -> None:
    (shell.folder / "link").symlink_to("/dev/stdout")
    around = names(Path("/dev"))
    assert shell.bash(f"conexiones get {id} -o {target} | {command}").stdout == photograph
    shell.bash(f"(printf head; conexiones get {id} -o {target}; printf tail) > all")
    assert (shell.folder / "all").read_bytes() == b"head" + photograph + b"tail"
    assert names(Path("/dev")) == around
    assert (shell.folder / "link").is_symlink()


def test_pipes_are_written_to(shell: Shell, id: str, photograph: bytes) -> None:
    shell.bash(f"mkfifo pipe; cat pipe > copy & conexiones get {id} -o pipe; wait")
    assert (shell.folder / "copy").read_bytes() == photograph
    assert stat.S_ISFIFO((shell.folder / "pipe").stat().st_mode)
    shell.bash(f"conexiones get {id} -o >(cat > copy2) && while ! test -s copy2; do :; done")
    assert (shell.folder / "copy2").read_bytes()[:3] == photograph[:3]
    assert names(shell.folder) == ["copy", "copy2", "pipe"]


def test_a_reader_that_goes_away_is_no_error_to_tell(shell: Shell, id: str) -> None:
    for script in (
        f"conexiones get {id} -o - | head -c 3",
        "conexiones ls | true",
        "conexiones --help | true",
    ):
        ran = shell.bash(f"set +o pipefail; {script}")
        assert ran.stderr == b"", script


def test_what_takes_no_file_is_said_in_a_line(shell: Shell, id: str) -> None:
    (shell.folder / "file").write_bytes(b"")
    for target, line in (
        ("/nodir/x.bmp", "/nodir: There is no such folder."),
        ("none/", "none/: There is no such folder."),
        ("file/x", "file/x: Not a directory."),
    ):
        assert said(shell("get", id, "-o", target, status=1)) == [f"conexiones: {line}"]
    assert said(shell("get", id, "-o", "x" * 256, status=1))[0].endswith("xxx: File name too long.")
    assert names(shell.folder) == ["file"]
    assert said(shell.bash(f"conexiones get {id} -o - > /dev/full", status=1))[0].endswith(
        "No space left on device."
    )
    assert b"nothing to write to" in shell("get", id, "-o", "", status=2).stderr
    assert b"nothing to write to" in shell.bash(f"conexiones get {id} -o - >&-", status=2).stderr
    assert b"redirect a file or a pipe" in shell.bash("conexiones put - <&-", status=2).stderr


def test_output_that_cannot_be_written_is_said(shell: Shell, id: str) -> None:
    full = ["conexiones: No space left on device."]
    assert said(shell.bash("conexiones ls > /dev/full", status=1)) == full
    assert said(shell.bash("conexiones hello Ana > /dev/full", status=1)) == full
    for command in ("--help", "--version", "wire decode 0a00"):
        assert said(shell.bash(f"conexiones {command} > /dev/full", status=1)) == full
    assert said(shell.bash(f"conexiones get {id} -o copy > /dev/full", status=1)) == full


def test_into_a_folder(shell: Shell, id: str, photograph: bytes) -> None:
    (shell.folder / "folder").mkdir()
    (shell.folder / "link").symlink_to("folder", target_is_directory=True)
    for target in ("folder", "folder/", "link"):
        shell("get", id, "-o", target)
        assert (shell.folder / "folder" / f"{id}.jpg").read_bytes() == photograph
        (shell.folder / "folder" / f"{id}.jpg").unlink()


@pytest.mark.parametrize("source", ["-", "pipe", "/dev/stdin"])
def test_what_can_be_read_only_once_is_not_gone_on_with(shell: Shell, source: str) -> None:
    """Interrupted while it waits for more, which never comes, it ends at once and says so."""
    pipe = shell.folder / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(
        [*CLI, "put", source], cwd=shell.folder, env=shell.environ, stdin=reading, stderr=subprocess.PIPE
    ) as process, ended(process):  # fmt: skip
        os.set_blocking(reading, True)
        with pipe.open("wb") as file:
            # A pipe holds less than this, so it has been read from when all is written.
            file.write(b"".join(bitmap(1000, 1000))[:1_000_000])
            file.flush()
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE) == 130
        assert process.stderr
        name = "standard input" if source == "-" else source
        assert process.stderr.read().decode() == (
            "conexiones: Interrupted. It can be read only once, so"
            f" {name} has to be sent again from its beginning.\n"
        )
    os.close(reading)
    assert names(shell.folder) == ["pipe"]


def test_no_such_image_leaves_nothing(shell: Shell) -> None:
    os.mkfifo(shell.folder / "pipe")
    for target in ("pipe", "new", "-"):
        assert said(shell("get", NOBODY, "-o", target, status=1)) == [
            "conexiones: There is no image with this id."
        ]
    assert names(shell.folder) == ["pipe"]


def test_descriptors_of_its_own_are_left_alone(shell: Shell, id: str, photograph: bytes) -> None:
    commands = [f"get {id} -o /dev/fd/{number}" for number in range(3, 13)]
    for command in [*commands, "put /dev/fd/5", "hello Ana --image /dev/fd/5"]:
        ran = shell(*command.split(), status=1)
        assert said(ran) == [f"conexiones: {command.split()[-1]}: Bad file descriptor."]
    shell.bash(f"conexiones get {id} -o /dev/fd/9 9> copy")
    assert (shell.folder / "copy").read_bytes() == photograph
    (image,) = lines(shell.bash("conexiones put /dev/fd/9 --json 9< copy"))
    assert image["size_bytes"] == len(photograph)


@pytest.mark.parametrize("closed", brief(["<&-", ">&-", "2>&-", "<&- >&- 2>&-"], {">&-", "<&- >&- 2>&-"}))
def test_closed_streams_get_nothing(shell: Shell, id: str, photograph: bytes, closed: str) -> None:
    shell.bash(f"conexiones get {id} -o copy {closed}")
    assert (shell.folder / "copy").read_bytes() == photograph
    for command in ("ls", "put copy", "--help"):
        shell.bash(f"conexiones {command} {closed}")
    shell.bash(f"conexiones get {id} -o /dev/stderr 2>&-", status=1)
    shell.bash(f"conexiones get {id} -o /dev/stdin <&-", status=1)
    assert said(shell.bash("conexiones put /dev/stdin <&-", status=1)) == [
        "conexiones: /dev/stdin: Bad file descriptor."
    ]


def test_a_file_that_cannot_take_all_is_named(shell: Shell, id: str, photograph: bytes) -> None:
    assert len(photograph) > 1024
    (line,) = said(shell.bash(f"ulimit -f 1; conexiones get {id} -o copy", status=1))
    assert line.endswith("/copy: File too large.")
