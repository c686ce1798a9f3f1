"""`make demo`: starts a server, runs the clients in Python and Node.js against it, and keeps it running."""

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from foreground import started

from conexiones.testing import ServerError

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "127.0.0.1:50051"


def main() -> int:
    try:
        server = started(ROOT / "data", ADDRESS)
    except ServerError as error:
        print(error, end="", file=sys.stderr)
        return 1
    with server:
        print(server.log, end="")
        clients = [("Python", [sys.executable, "client/usuario.py"])]
        node = shutil.which("node")
        if node:
            clients.append(("Node.js", [node, "client/client_node.js"]))
        for name, command in clients:
            print(f"\n── {name}: {Path(command[1]).name} ──", flush=True)
            done = subprocess.run([*command, "--address", server.address], cwd=ROOT, check=False)
            if done.returncode:
                return done.returncode
        print(
            f"\nThe server is still running at {server.address}, with its data in {server.data_dir}."
            " Ctrl-C ends it.",
            flush=True,
        )
        with suppress(KeyboardInterrupt):
            server.wait(None)
        return server.stop()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before all was said
        sys.exit(130)
