"""The TypeScript SDK in node/, built, for the tests that run its programs."""

import fcntl
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import need
from tests.support.paths import ROOT

PACKAGE = ROOT / "node"
PROGRAMS = PACKAGE / "dist" / "test" / "programs"


def run(*command: str, folder: Path = PACKAGE, timeout: int = 300, **environ: Any) -> str:
    """The output of a program, run in `folder` with more variables in its environment.

    If it fails, so does the test, with that output.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONEXIONES_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=inherited | environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)}:\n{done.stdout}", pytrace=False)
    return done.stdout


def run_tests(node: str, folder: Path, scratch: Path, *, timeout: int, **environ: Any) -> None:
    """Runs all files of tests in the folder, in one process: most of them take less time than another process
    takes to load gRPC. `scratch` is a folder for the program that imports them."""
    files = sorted(folder.glob("*.test.js"))
    assert files
    program = scratch / "all.mjs"
    program.write_text("".join(f"import {json.dumps(file.as_uri())};\n" for file in files))
    run(node, "--test-reporter=spec", str(program), timeout=timeout, **environ)


def built() -> str:
    """Builds the package, and gives the path of Node.js."""
    program = need("node", "make test sets it up")
    npm = need("npm", "make test sets it up")
    if not (PACKAGE / "node_modules" / ".package-lock.json").is_file():
        run(npm, "ci", "--silent")
    stamp = PACKAGE / "node_modules" / ".built"
    with stamp.open("a") as lock:  # one process at a time builds, and no test runs while another builds
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources = [*PACKAGE.glob("*.json"), *PACKAGE.glob("src/**/*.ts"), *PACKAGE.glob("test/**/*.ts")]
        newest = str(max(path.stat().st_mtime_ns for path in sources))
        if stamp.read_text() != newest or not PROGRAMS.is_dir():
            run(npm, "run", "build", "--silent")
            stamp.write_text(newest)
    return program
