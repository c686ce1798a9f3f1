"""One request by curl, to HTTP/1.1 servers."""

import shutil
import subprocess
from pathlib import Path

from bench.peers.program import Failed


def curl(url: str, *options: str | Path) -> str:
    """The answer; of a failure, and of any status from 400 up, Failed is raised."""
    program = shutil.which("curl")
    if program is None:
        raise Failed("curl is missing: apt install curl")
    command = [program, "--silent", "--show-error", "--fail", *map(str, options), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr}")
    return done.stdout
