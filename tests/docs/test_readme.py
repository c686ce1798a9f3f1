"""README.md: the lines of its tour, and its program, print what it shows. tools/fresh.py follows it from its
first line; README.es.md has the same lines (test_languages.py)."""

import os
import re
import sys
from pathlib import Path

from conexiones.testing import Server
from tests.commands.shell import Shell
from tests.support.paths import ROOT

TOUR = (ROOT / "README.md").read_text().partition("## A one-minute tour")[2]
SHOWN = re.findall(r"```sh\n(.*?)```(?:.(?!```sh))*?```(?:json)?\n(.*?)```", TOUR, re.DOTALL)
PROGRAM = re.findall(r"```python\n(.*?)```", TOUR, re.DOTALL)
ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def test_the_tour_prints_what_it_shows(shared: Server) -> None:
    shell = Shell(ROOT, shared.address)
    bin = f"{Path(sys.executable).parent}{os.sep}"
    printed = {}
    for lines, shows in SHOWN:
        here = lines.replace(".venv/bin/", bin).replace("127.0.0.1:50051", shared.address)
        printed[lines.split()[0]] = ID.sub("ID", shell.bash(here).stdout.decode())
        if not lines.startswith("curl"):
            assert printed[lines.split()[0]] == ID.sub("ID", shows)
    # Of the details the first is shown, without its value.
    (error,) = [shows for lines, shows in SHOWN if lines.startswith("curl")]
    assert printed["curl"].startswith(error.partition("…")[0])
    assert printed.keys() == {".venv/bin/python", "curl", ".venv/bin/conexiones"}


def test_its_program_is_greeted(shared: Server) -> None:
    (program,) = PROGRAM
    here = program.replace("localhost:50051", shared.address)
    ran = Shell(ROOT, shared.address).bash(f'"{sys.executable}" - <<"END"\n{here}END\n')
    assert re.fullmatch(r"¡Hola, Ada! Tu pow es 12 .* 144\n", ran.stdout.decode())
