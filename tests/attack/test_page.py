"""docs/security.md is its template with figures, so that the next run loses none of its text."""

import re

from tests.attack.page import PAGE, page


def _prose(text: str) -> list[str]:
    """All lines but figures, and the rows that keep the promise no more."""
    lines = [line for line in text.splitlines() if not line.startswith(("|", "- `"))]
    return [line for line in lines if line and not re.match(r"All rows .* keep the promise", line)]


def test_the_page_has_the_text_of_its_template() -> None:
    assert _prose(PAGE.read_text()) == _prose(page({}))
