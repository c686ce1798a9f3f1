"""The programs of the course, and how they are run: as a learner runs them, in a folder of their own.

A lesson NN has its programs in docs/learn/programs/NN. `name.py` and `name.js` are the same program in two
languages; `name.sh` is for both. What a program prints is in `name.txt` if all languages print the same, else
in `name.py.txt` and `name.js.txt`. `exercise-1`, where the learner begins, fails; `solution-1` succeeds.
`server.sh` starts a second server, which runs while the other programs of its lesson do.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "docs" / "learn" / "programs"
ADDRESS = "localhost:50051"
"""The server's address in all programs."""
PROXY = "localhost:50052"
"""The address of the proxy that a learner starts by hand."""
SECOND = "localhost:50443"
"""The address of the server that `server.sh` starts."""
ANY_PORT = "localhost:0"
"""What stands for both of them here: programs that run at the same time must not want the same port."""
KINDS = "run|either|serve|wire|exercise|solution"
"""The places of a lesson that have a program to be run."""
SERVER = "server.sh"
SUFFIXES = (".py", ".js", ".sh")
SECONDS = 120
"""How long a program may take."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program printed, standard error included, and its exit status."""

    text: str
    status: int


def lessons() -> list[str]:
    """The numbers of the lessons, such as "01"."""
    return sorted(path.name for path in PROGRAMS.iterdir() if path.is_dir())


def programs(lesson: str) -> list[Path]:
    """The programs of a lesson, in the order in which its page runs them."""
    page = next(PROGRAMS.parent.glob(f"{lesson}-*.md")).read_text()
    order = list(dict.fromkeys(re.findall(rf"<!-- (?:{KINDS}) \d\d/(\S+) -->", page)))
    parts = re.findall(r"<!-- file \d\d/(\S+) -->", page)  # of other programs, or run by a test runner
    found = [
        path for path in (PROGRAMS / lesson).iterdir() if path.suffix in SUFFIXES and path.name not in parts
    ]
    if find_spec("conexiones.wire") is None:  # this program has no --wire
        found = [path for path in found if "--wire" not in path.read_text()]
    missing = [path.name for path in found if path.stem not in order]
    if missing:
        raise ValueError(f"no lesson runs {', '.join(missing)} of {PROGRAMS / lesson}")
    return sorted(found, key=lambda path: (order.index(path.stem), SUFFIXES.index(path.suffix)))


def recorded(program: Path) -> Path:
    """The file with what the program prints."""
    own = program.with_name(f"{program.name}.txt")
    return own if own.exists() else program.with_suffix(".txt")


def fresh(folder: Path, address: str) -> None:
    """Copies into the folder what programs need of a clone, with the server's address in them."""
    shutil.copytree(ROOT / "proto", folder / "proto", dirs_exist_ok=True)
    shutil.copytree(ROOT / "client" / "image", folder / "client" / "image", dirs_exist_ok=True)
    shutil.copytree(PROGRAMS, folder / "docs" / "learn" / "programs", dirs_exist_ok=True)
    for path in (folder / "docs" / "learn" / "programs").rglob("*"):
        if path.suffix in SUFFIXES:
            path.write_text(path.read_text().replace(ADDRESS, address).replace(PROXY, ANY_PORT))


@contextmanager
def second_server(folder: Path, program: Path, environ: dict[str, str]) -> Iterator[str]:
    """Runs `server.sh` until the block ends, and gives its address, which the other programs then have."""
    path = folder / program.relative_to(ROOT)
    path.write_text(path.read_text().replace(SECOND, ANY_PORT))
    process = subprocess.Popen(
        ["sh", str(path)],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # the signal below reaches the shell and all that it started
    )
    try:
        said = []
        assert process.stdout
        for line in process.stdout:
            said.append(line)
            if listens := re.search(r"listens on \S+:(\d+)", line):
                break
        else:
            raise RuntimeError("".join(said))
        address = f"localhost:{listens[1]}"
        for other in path.parent.iterdir():
            if other.suffix in SUFFIXES:
                other.write_text(other.read_text().replace(SECOND, address))
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=SECONDS)


def run(folder: Path, address: str, chosen: Sequence[Path]) -> dict[Path, Ran]:
    """Runs programs one after the other in the folder, which `fresh` has made."""
    environ = environment(address)
    server = next((program for program in chosen if program.name == SERVER), None)
    others = [program for program in chosen if program.name != SERVER]
    with second_server(folder, server, environ) if server else nullcontext(SECOND) as second:
        found = run_all(folder, environ, others)
    shown = {address: ADDRESS, second: SECOND, ANY_PORT: PROXY}
    return {
        program: Ran(re.sub("|".join(map(re.escape, shown)), lambda one: shown[one[0]], ran.text), ran.status)
        for program, ran in found.items()
    }


def environment(address: str) -> dict[str, str]:
    """The environment of the programs: that of the second terminal in the course."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CONEXIONES_")}
    return environ | {
        "NODE_PATH": str(ROOT / "client" / "node_modules"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT / "src"),
        "CONEXIONES_ADDRESS": address,
        "NO_COLOR": "1",
        "GRPC_VERBOSITY": "NONE",
    }


def run_all(folder: Path, environ: dict[str, str], chosen: Sequence[Path]) -> dict[Path, Ran]:
    # One interpreter that has imported gRPC forks for each program in Python: a third of the time.
    forks = subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "learn_fork.py")],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = {}
    try:
        for program in chosen:
            path = str(program.relative_to(ROOT))
            if program.suffix == ".py":
                assert forks.stdin
                assert forks.stdout
                forks.stdin.write(path + "\n")
                forks.stdin.flush()
                text, status = json.loads(forks.stdout.readline())
            else:
                command = ["node" if program.suffix == ".js" else "sh", path]
                done = subprocess.run(
                    command,
                    cwd=folder,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                    timeout=SECONDS,
                )
                text, status = done.stdout, done.returncode
            found[program] = Ran(text, status)
    finally:
        forks.communicate()
    return found


CHANGING = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"(?m)^(\s*[12]: )\d{4,}$", r"\1N"),  # a time, as protoc shows it
    (r"(?m)^ *\d+\.\d ([→←])", r"N \1"),  # a time, as --wire shows it
    (r"\d{4}-?\d\d-?\d\dT[\d:]+(Z|\+00:00)", "TIME"),
)
MEASURED = ((r"\d+(\.\d+)? ?(ms|s|MiB)\b", r"N \2"),)


def comparable(text: str, *, measured: bool = True) -> str:
    """The output without what differs from run to run: ids, times and, if `measured`, what was measured."""
    for pattern, constant in (*CHANGING, *(MEASURED if measured else ())):
        text = re.sub(pattern, constant, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
