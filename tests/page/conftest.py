"""Fixtures of the page's tests: a browser for all of them."""

from collections.abc import Iterator

import pytest

from tests.page.browser import Browser


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()
