"""`python -m bench.page` measures the page with many images.

With ten thousand images it measures how soon the page shows something. Chromium loads it several times, each
time with an empty cache. The server has made the thumbnails before, as it has for all but its first visitor.

With a hundred thousand images it measures whether the page slows down. It scrolls to the end and back, and
times some frames at the beginning and at the end.
"""

import statistics
import time

from conexiones import Client
from conexiones.testing import Server, serve
from tests.page.browser import Browser
from tests.page.many import copies
from tests.page.pictures import landscape

IMAGES = 10_000
"""Images while loading is measured."""
MANY_IMAGES = 100_000
"""Images while scrolling is measured."""
DIFFERENT_IMAGES = 60
"""Images with bytes of their own; all others are older copies of them."""
ROUNDS = 7
"""Loads of the page that are measured."""
SCROLL_TIMEOUT_MS = 600_000
"""How long scrolling through all images may take, in milliseconds."""


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
            add_copies(server, MANY_IMAGES - IMAGES, first=IMAGES)
            begin = time.monotonic()
            found = browser.play("many", server, count=MANY_IMAGES, newest=newest, timeout=SCROLL_TIMEOUT_MS)
            print(
                f"{MANY_IMAGES:,} images, to the end, the middle and back in"
                f" {time.monotonic() - begin:.0f} s: at most"
                f" {found['most']} tiles in the document, {found['bytes'] / 1e6:.1f} MB of heap;"
                f" a frame takes {found['near']:.0f} ms at the beginning and {found['far']:.0f} ms at the end"
            )
    finally:
        browser.close()


def fill(server: Server) -> str:
    """Uploads DIFFERENT_IMAGES images, and adds older copies of them. Returns the newest id."""
    with Client(server.address) as client:
        ids = [client.upload(landscape(number)).id for number in range(DIFFERENT_IMAGES)]
    add_copies(server, IMAGES - DIFFERENT_IMAGES)
    return ids[-1]


def add_copies(server: Server, count: int, *, first: int = 0) -> None:
    server.stop()
    copies(server, count, first=first)
    server.start()


if __name__ == "__main__":
    main()
