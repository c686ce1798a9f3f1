"""How soon the page shows something, with ten thousand images in the gallery: `python -m bench.page`.

Chromium loads it several times, each with an empty cache; the server has made the thumbnails before, as it
has for whoever is not its first visitor.
"""

import statistics

from conexiones import Client
from conexiones.testing import Server, serve
from tests.page.browser import Browser
from tests.page.many import copies
from tests.page.pictures import landscape

IMAGES = 10_000
DIFFERENT = 60
ROUNDS = 7


def main() -> None:
    browser = Browser()
    try:
        with serve() as server:
            fill(server)
            browser.play("paint", server)
            rounds = [browser.play("paint", server) for _ in range(ROUNDS)]
    finally:
        browser.close()
    print(f"The page with {IMAGES:,} images, milliseconds from the click (of {ROUNDS} loads):")
    for name in rounds[0]:
        values = sorted(found[name] for found in rounds)
        print(f"  {name:24} median {statistics.median(values):6.0f}   worst {values[-1]:6.0f}")


def fill(server: Server) -> None:
    """Some images as they are uploaded, the others older ones of the same bytes."""
    with Client(server.address) as client:
        for number in range(DIFFERENT):
            client.upload(landscape(number))
    server.stop()
    copies(server, IMAGES - DIFFERENT)
    server.start()


if __name__ == "__main__":
    main()
