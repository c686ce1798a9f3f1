"""The page with many images: `python -m bench.page`.

How soon it shows something, with ten thousand: Chromium loads it several times, each with an empty cache;
the server has made the thumbnails before, as it has for whoever is not its first visitor. And whether it
slows down with a hundred thousand: it is scrolled to its end and back, and frames here and there are timed.
"""

import statistics
import time

from conexiones import Client
from conexiones.testing import Server, serve
from tests.page.browser import Browser
from tests.page.many import copies
from tests.page.pictures import landscape

IMAGES = 10_000
MANY = 100_000
DIFFERENT = 60
ROUNDS = 7
PATIENCE = 600_000
"""Milliseconds for the whole of the long way."""


def main() -> None:
    browser = Browser()
    try:
        with serve() as server:
            newest = fill(server)
            browser.play("paint", server)
            rounds = [browser.play("paint", server) for _ in range(ROUNDS)]
            print(f"The page with {IMAGES:,} images, milliseconds from the click (of {ROUNDS} loads):")
            for name in rounds[0]:
                values = sorted(found[name] for found in rounds)
                print(f"  {name:24} median {statistics.median(values):6.0f}   worst {values[-1]:6.0f}")
            add_copies(server, MANY - IMAGES, first=IMAGES)
            begin = time.monotonic()
            found = browser.play("many", server, count=MANY, newest=newest, timeout=PATIENCE)
            print(
                f"{MANY:,} images, to the end, the middle and back in {time.monotonic() - begin:.0f} s:"
                f" at most {found['most']} tiles in the document, {found['bytes'] / 1e6:.1f} MB of heap;"
                f" a frame takes {found['near']:.0f} ms at the beginning and {found['far']:.0f} ms at the end"
            )
    finally:
        browser.close()


def fill(server: Server) -> str:
    """Some images as they are uploaded, the others older ones of the same bytes. Gives the newest id."""
    with Client(server.address) as client:
        ids = [client.upload(landscape(number)).id for number in range(DIFFERENT)]
    add_copies(server, IMAGES - DIFFERENT)
    return ids[-1]


def add_copies(server: Server, count: int, *, first: int = 0) -> None:
    server.stop()
    copies(server, count, first=first)
    server.start()


if __name__ == "__main__":
    main()
