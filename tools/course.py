"""`make learn`: starts a server, and opens the course that it has at /learn."""

import signal
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path

from conexiones.testing import Server, ServerError

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "127.0.0.1:50051"
"""The address in the programs of the course."""


def main() -> int:
    # Closing the terminal (SIGHUP) or killing this program (SIGTERM) also ends the server.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    server = Server(ROOT / "data", {"address": ADDRESS})
    try:
        server.start()
    except ServerError as error:
        print(error, end="", file=sys.stderr)
        return 1
    with server:
        url = f"http://{server.address}/learn"
        print(f"The course · El curso: {url}")
        print("Ctrl-C ends the server. · Ctrl-C termina el servidor.", flush=True)
        with suppress(webbrowser.Error):
            webbrowser.open(url)
        with suppress(KeyboardInterrupt):  # the terminal sends SIGINT to the server too
            server.wait(None)
        return server.wait()


if __name__ == "__main__":
    sys.exit(main())
