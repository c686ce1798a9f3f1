"""The programs of the course, and how they are run: as a learner runs them, in a folder of their own.

A lesson NN has its programs in docs/learn/programs/NN. `name.py` and `name.js` are the same program in two
languages; `name.sh` is for both. What a program prints is in `name.txt` if all languages print the same, else
in `name.py.txt` and `name.js.txt`. `exercise-1`, where the learner begins, fails; `solution-1` succeeds.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "docs" / "learn" / "programs"
ADDRESS = "localhost:50051"
"""The server's address in all programs."""
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
    order = list(dict.fromkeys(re.findall(r"<!-- (?:run|wire|exercise|solution) \d\d/(\S+) -->", page)))
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
            path.write_text(path.read_text().replace(ADDRESS, address))


def run(folder: Path, address: str, chosen: Sequence[Path]) -> dict[Path, Ran]:
    """Runs programs one after the other in the folder, which `fresh` has made."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CONEXIONES_")}
    environ |= {
        "NODE_PATH": str(ROOT / "client" / "node_modules"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT / "src"),
        "CONEXIONES_ADDRESS": address,
        "NO_COLOR": "1",
        "GRPC_VERBOSITY": "NONE",
    }
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
            found[program] = Ran(text.replace(address, ADDRESS), status)
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
