"""`make learn`: starts a server, and opens the course that it has at /learn."""

import sys
import time
import webbrowser
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from foreground import started

from conexiones.testing import ServerError

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "127.0.0.1:50051"
"""The address in the programs of the course."""

ASK_SECONDS, PAGE_BYTES = 5.0, 1 << 20
"""How long, and for how much, whoever is there already is asked for the course."""


def main(address: str = ADDRESS, data_dir: Path = ROOT / "data") -> int:
    try:
        server = started(data_dir, address)
    except ServerError as error:
        if has_course(address):
            print("A server is running already, and has it. · Ya hay un servidor en marcha, y lo tiene.")
            show(address)
            return 0
        print(error, end="", file=sys.stderr)
        print(advice(str(error), address, data_dir), end="", file=sys.stderr)
        return 1
    with server:
        with suppress(KeyboardInterrupt):
            print("Ctrl-C ends the server. · Ctrl-C termina el servidor.")
            show(server.address)
            server.wait(None)
        return server.stop()


def advice(said: str, address: str, data_dir: Path) -> str:
    """What to do so that the server starts, in both languages; empty if what the server said is enough."""
    if f"Cannot listen on {address}" in said:
        return (
            f"The programs of the course call {address}: end what is there. · "
            f"Los programas del curso llaman a {address}: termina lo que haya ahí.\n"
        )
    if "is in use by another server" in said:
        return (
            f"The course keeps its data in {data_dir}: end the server that has it. · "
            f"El curso guarda sus datos en {data_dir}: termina el servidor que los tiene.\n"
        )
    return ""


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
