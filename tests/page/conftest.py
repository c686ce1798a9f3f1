"""One browser for all tests of the page, and servers that they share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conexiones.testing import Server
from tests.page.browser import Browser


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def emptied(sharing: Callable[..., Server]) -> Callable[..., Server]:
    """Gives a server with these settings that has no images. Tests that stop it take `server` or `start`."""

    def give(**settings: Any) -> Server:
        server = sharing(**settings)
        with server.client() as client:
            for image in list(client.images()):
                client.delete(image.id)
        return server

    return give


@pytest.fixture
def gallery(emptied: Callable[..., Server]) -> Server:
    """A server that has no images, without settings."""
    return emptied()
