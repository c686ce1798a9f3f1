"""One request to an HTTP/1.1 server, by curl."""

import shutil
import subprocess
from pathlib import Path

from bench.peers.server_process import Failed


def curl(url: str, *options: str | Path) -> str:
    """The body of the answer. Raises Failed if the request fails or the status is 400 or above."""
    program = shutil.which("curl")
    if program is None:
        raise Failed("curl is missing: apt install curl")
    command = [program, "--silent", "--show-error", "--fail", *map(str, options), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr}")
    return done.stdout
