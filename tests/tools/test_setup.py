"""What `make` says on machines that lack something. `make fresh` tries whole systems."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clients import need
from tests.support.paths import ROOT

BASICS = ("bash", "env", "dirname", "grep", "readlink", "sed", "printf", "touch", "rm")
"""Programs that every system has."""

TESTED = ("chromium", "curl", "h2load", "prometheus", "systemd-analyze")
"""Programs without which tests are skipped."""

RELEASE = Path("/etc/os-release")
UBUNTU = RELEASE.exists() and "ID=ubuntu" in RELEASE.read_text().splitlines()
PACKAGES = ("" if UBUNTU else "chromium ") + "curl systemd nghttp2-client prometheus"
"""Where they come from. Ubuntu has Chromium only as a snap."""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The folder with the programs of a machine that has nothing but the basics."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in BASICS:
        (folder / name).symlink_to(need(name, f"apt install {name}"))
    return folder


@pytest.fixture
def run(machine: Path, tmp_path: Path) -> Run:
    """Runs a tool there, without the right to install anything; the virtual environment is `.venv`."""

    def run(tool: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", f"tools/{tool}", str(tmp_path / ".venv"), *arguments],
            cwd=ROOT,
            env={"PATH": str(machine), "PYTHON": "python3", "CONEXIONES_APT": "no", **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


def refused(ran: subprocess.CompletedProcess[str]) -> str:
    """The one line in which a tool refused."""
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert re.fullmatch(r".+\n", ran.stderr)
    return ran.stderr.removesuffix("\n")


def test_nothing_is_said_where_nothing_is_missing(run: Run, machine: Path) -> None:
    for name in TESTED:
        program(machine / name, "")
    ran = run("packages.sh", "test", PYTHON=sys.executable)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_python_is_looked_for_first(run: Run, machine: Path) -> None:
    says = "Packages are missing. Do this first: "
    # Where nothing says which version python3 has, the library comes with what is the same for all.
    packages = "python3 python3-venv libpython3-dev"
    assert refused(run("packages.sh")) == f"{says}install what Debian calls {packages}"
    program(machine / "apt-get", "exit 1")
    program(machine / "apt-cache", "")
    apt = "apt install" if os.geteuid() == 0 else "sudo apt install"
    assert refused(run("packages.sh")) == f"{says}{apt} {packages}"
    program(machine / "apt-cache", "printf 'python3:\\n  Installed: (none)\\n  Candidate: 3.13.5-1\\n'")
    packages = "python3 python3-venv libpython3.13"
    assert refused(run("packages.sh")) == f"{says}{apt} {packages}"
    assert refused(run("packages.sh", "test")) == f"{says}{apt} {packages} {PACKAGES}"
    packages = "python3.12 python3.12-venv libpython3.12"
    assert refused(run("packages.sh", PYTHON="python3.12")) == f"{says}{apt} {packages}"
    assert refused(run("packages.sh", PYTHON="/no/python")).startswith("There is no /no/python: ")


@pytest.mark.parametrize("lacks", ["shared library", "venv"])
def test_a_python_that_lacks_a_part_is_refused(run: Run, machine: Path, lacks: str) -> None:
    part = "tools/libpython.py" if lacks == "shared library" else "-c import ensurepip, venv"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    program(machine / "python3", f'[[ "$*" == "{part}" ]] && exit 1; exec {sys.executable} "$@"')
    if sys.base_prefix == "/usr":
        package = f"libpython{version}" if lacks == "shared library" else "python3-venv"
        assert refused(run("packages.sh")).endswith(package)
    else:
        assert lacks in refused(run("packages.sh"))


def test_an_old_python_is_refused(run: Run, machine: Path) -> None:
    program(machine / "python3", "if [[ $1 == --version ]]; then echo Python 3.9.2; else exit 1; fi")
    assert refused(run("packages.sh")).startswith("Python 3.9.2 is too old: Python 3.11 or newer is needed ")


def test_programs_of_tests_may_be_missing_but_not_in_ci(run: Run) -> None:
    ran = run("packages.sh", "test", PYTHON=sys.executable)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert re.fullmatch(rf"Some tests will be skipped\. .* {PACKAGES}\n", ran.stderr)
    assert refused(run("packages.sh", "test", PYTHON=sys.executable, CI="true")).endswith(PACKAGES)


def test_the_librarys_check_agrees_with_the_servers() -> None:
    ran = subprocess.run([sys.executable, "tools/libpython.py"], cwd=ROOT, check=False)
    # This interpreter runs servers.
    assert ran.returncode == 0


def test_an_old_node_is_not_used(run: Run, machine: Path, tmp_path: Path) -> None:
    program(machine / "node", "if [[ $1 == --version ]]; then echo v18.20.4; else exit 1; fi")
    program(machine / "npm", "echo 'npm of Debian ran' >&2; exit 1")
    program(tmp_path / ".venv" / "bin" / "python", "exit 1")  # pip fails, as without a wheel for the machine
    ran = run("node.sh", "client")
    assert ran.returncode == 0
    assert "(v18.20.4 was found)" in ran.stdout
    assert ran.stderr == "Node.js could not be installed, so its parts are left out.\n"
    assert run("node.sh", "client", CI="true").returncode == 1


def test_make_alone_needs_only_what_every_system_has(machine: Path) -> None:
    (machine / "sh").symlink_to(need("sh", "apt install dash"))
    make = need("make", "apt install make")
    ran = subprocess.run(
        [make], cwd=ROOT, env={"PATH": str(machine)}, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^make (\S+) +\S", ran.stdout, re.MULTILINE) == targets
    assert {"demo", "test"} <= set(targets)
