"""One browser for all tests of the page."""

from collections.abc import Iterator

import pytest

from tests.page.browser import Browser


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()
