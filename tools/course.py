"""`make learn`: starts a server, and opens the course that it has at /learn."""

import signal
import sys
import time
import webbrowser
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from conexiones.testing import Server, ServerError

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "127.0.0.1:50051"
"""The address in the programs of the course."""

ASK_SECONDS, PAGE_BYTES = 5.0, 1 << 20
"""How long, and for how much, whoever is there already is asked for the course."""


def main(address: str = ADDRESS, data_dir: Path = ROOT / "data") -> int:
    # Closing the terminal (SIGHUP) or killing this program (SIGTERM) also ends the server.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    server = Server(data_dir, {"address": address})
    try:
        server.start()
    except ServerError as error:
        if has_course(address):
            print("A server is running already, and has it. · Ya hay un servidor en marcha, y lo tiene.")
            show(address)
            return 0
        print(error, end="", file=sys.stderr)
        print(
            f"The programs of the course call {address}: end what is there. · "
            f"Los programas del curso llaman a {address}: termina lo que haya ahí.",
            file=sys.stderr,
        )
        return 1
    with server:
        print("Ctrl-C ends the server. · Ctrl-C termina el servidor.")
        show(server.address)
        with suppress(KeyboardInterrupt):  # the terminal sends SIGINT to the server too
            server.wait(None)
        return server.wait()


def has_course(address: str) -> bool:
    """Whether a server there has it, such as that of `make demo`."""
    try:
        end, read = time.monotonic() + ASK_SECONDS, b""
        with urlopen(f"http://{address}/learn", timeout=ASK_SECONDS) as response:
            while (piece := response.read1()) and time.monotonic() < end and len(read) < PAGE_BYTES:
                read += piece
                if b"Learn gRPC" in read:
                    return True
    except (OSError, ValueError, HTTPException):  # the last of what does not speak HTTP/1.1
        pass
    return False


def show(address: str) -> None:
    url = f"http://{address}/learn"
    print(f"The course · El curso: {url}", flush=True)
    with suppress(webbrowser.Error):
        webbrowser.open(url)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before all was said
        sys.exit(130)
