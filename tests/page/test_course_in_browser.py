"""The course at /learn in a real browser: on a wide light screen in English, on a dark phone in Spanish."""

from typing import Any

import pytest

from conexiones.testing import Server
from tests.learn.tools import learn
from tests.page.browser import Browser
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("course", "given"),
    [
        ("learn", {"language": "en", "copied": "Copied", "word": "idempotent"}),
        (
            "aprende",
            {
                "language": "es",
                "locale": "es-ES",
                "copied": "Copiado",
                "word": "idempoténte",
                "phone": True,
                "dark": True,
            },
        ),
    ],
)
def test_a_walk_through(browser: Browser, shared: Server, course: str, given: dict[str, Any]) -> None:
    result = browser.play("course", shared, **given)
    assert result["titles"] == [learn.title(page) for page in learn.pages(course)]
    assert result["copied"] == (ROOT / "docs/learn/programs/01/hello.py").read_text()
    assert result["led"] in {"Break it", "Rómpelo"}
    assert result["found"] == []
    assert result["after"] == "", "a search that was given up shows nothing"
    assert result["excerpt"].startswith("zebra y")
