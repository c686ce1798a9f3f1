"""The course's programs, run as a learner runs them: in order, in a fresh folder, against a real server."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from conexiones.testing import Server
from tests.learn.tools import learn_programs
from tests.support.clients import node
from tests.support.lengths import brief


@pytest.mark.parametrize("lesson", brief(learn_programs.lessons(), {"01", "05", "07", "10"}))
def test_a_lesson(lesson: str, shared: Server, tmp_path: Path) -> None:
    """Each program prints what the lesson shows. Exercises fail as they are, and their solutions succeed."""
    node()
    learn_programs.fresh(tmp_path, shared.address)
    found = learn_programs.run(tmp_path, shared.address, learn_programs.programs(lesson))
    comparable = learn_programs.comparable
    for program, ran in found.items():
        shown = learn_programs.recorded(program).read_text()
        assert comparable(ran.text) == comparable(shown), program.name
        assert bool(ran.status) == program.name.startswith("exercise-"), (program.name, ran)


@pytest.mark.parametrize("name", ["proxy.py", "proxy.js"])
def test_enter_cuts_and_ctrl_d_ends_the_proxy(name: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as keeps_the_port:
        keeps_the_port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeps_the_port.bind(("127.0.0.1", 0))
        port = keeps_the_port.getsockname()[1]
        learn_programs.fresh(tmp_path, f"127.0.0.1:{server.getsockname()[1]}")
        path = tmp_path / "docs/learn/programs/07" / name
        path.write_text(path.read_text().replace(learn_programs.ANY_PORT, f"localhost:{port}"))
        program = sys.executable if name.endswith(".py") else node()
        proxy = subprocess.Popen([program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert proxy.stdin
        assert proxy.stdout
        assert b"Enter" in proxy.stdout.readline()
        for cuts in (True, False):
            client = socket.create_connection(("localhost", port))
            passed_on, _ = server.accept()
            client.sendall(b"?")
            assert passed_on.recv(1) == b"?"
            passed_on.sendall(b"!")
            assert client.recv(1) == b"!"
            if cuts:
                proxy.stdin.write(b"\n")
                proxy.stdin.flush()
            else:
                proxy.communicate()  # the end of its input: Ctrl-D
            assert client.recv(1) == passed_on.recv(1) == b""
            client.close()
            passed_on.close()
        assert proxy.returncode == 0


@pytest.mark.parametrize("lesson", learn_programs.lessons())
def test_programs_exist_in_both_languages(lesson: str) -> None:
    folder = learn_programs.PROGRAMS / lesson
    names = {suffix: {path.stem for path in folder.glob(f"*{suffix}")} for suffix in (".py", ".js")}
    assert names[".py"] == names[".js"]
    for kind in ("exercise", "solution"):
        assert {name for name in names[".py"] if name.startswith(kind)} == {f"{kind}-1", f"{kind}-2"}


def test_no_program_hides_a_module_of_python() -> None:
    """Python looks for modules beside the program first: a `token.py` would break all others there."""
    names = {path.stem for path in learn_programs.PROGRAMS.rglob("*.py")}
    assert not names & (set(sys.stdlib_module_names) | {"conexiones", "google", "grpc"})


def test_what_differs_between_runs_is_not_compared() -> None:
    comparable = learn_programs.comparable
    one = "id 01a20277-0a06-7000-b093-6179f05c12cd after 12.5 ms, 35 MiB  \n    1: 1795945402\n"
    other = "id 01a2026a-a050-7000-b093-6179f05c12cd after 3 ms, 120 MiB\n    1: 1795949999"
    assert comparable(one) == comparable(other)
    assert comparable("square 144") != comparable("square 145")
