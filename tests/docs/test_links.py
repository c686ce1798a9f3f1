"""Every link in the documentation leads somewhere, and every page is reached from an index."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import DOCS, pages, read, tracked
from tests.support.paths import ROOT

INDEX, ÍNDICE = DOCS / "README.md", DOCS / "es" / "README.md"
COURSES = {DOCS / "learn" / "README.md": INDEX, DOCS / "aprende" / "README.md": ÍNDICE}

MENTION = re.compile(r"(?<![\w/.-])docs/[\w/.-]+\.md\b(?:#[\w-]+)?")
"""A page that is named in code, in settings or in a message."""

# Pages of Connect's conformance suite.
OF_OTHERS = {"docs/configuring_and_running_tests.md", "docs/testing_servers.md"}


def target(page: Path, link: str) -> tuple[Path, str]:
    """The file and the anchor to which a link leads."""
    name, _, anchor = unquote(link).partition("#")
    return ((page.parent / name).resolve() if name else page), anchor


def wrong(page: Path, link: str) -> str:
    """What is wrong with a link, or nothing."""
    if re.match(r"(https?|mailto):", link):
        return ""
    found, anchor = target(page, link)
    if not found.exists() or not found.is_relative_to(ROOT):
        return f"{link} leads nowhere"
    if anchor and (found.suffix != ".md" or anchor not in read(found).anchors):
        return f"{link} leads to no heading"
    return ""


def linked(page: Path) -> set[Path]:
    return {target(page, link)[0] for link in read(page).links}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [found for link in read(page).links if (found := wrong(page, link))] == []


def test_pages_that_are_named_elsewhere_exist() -> None:
    dead = []
    for path in tracked():
        if path.suffix in {".jpg", ".png", ".webp", ".br", ".gz", ".binpb"} or path == Path(__file__):
            continue
        for name in sorted(set(MENTION.findall(path.read_text(errors="replace"))) - OF_OTHERS):
            dead += (
                [f"{path.relative_to(ROOT)}: {found}"] if (found := wrong(ROOT / "README.md", name)) else []
            )
    assert dead == []


def test_every_page_is_reached_from_the_index() -> None:
    for index, readme in ((INDEX, "README.md"), (ÍNDICE, "README.es.md")):
        assert index in linked(ROOT / readme), f"{readme} does not link to {index}"
    for course, index in COURSES.items():
        assert course in linked(index)
        lessons = {path for path in course.parent.glob("*.md") if path != course}
        assert lessons <= linked(course)
    english = set(DOCS.glob("*.md")) - {INDEX}
    assert english - linked(INDEX) == set(), "pages that docs/README.md does not list"
    spanish = set(ÍNDICE.parent.glob("*.md")) - {ÍNDICE}
    translated = {target(page, read(page).links[0])[0] for page in spanish}
    assert (spanish | english) - translated - linked(ÍNDICE) == set(), "pages that docs/es/README.md lacks"


def test_every_picture_is_shown_somewhere() -> None:
    shown = {found for page in pages() for found in linked(page)}
    pictures = {path for path in tracked() if DOCS in path.parents and path.suffix in {".svg", ".webp"}}
    assert pictures - shown == set()


def test_what_leads_nowhere_is_found() -> None:
    for link in ("nowhere.md", "#nothing", "errors.md#nothing", "../../outside", "../Makefile#demo"):
        assert wrong(INDEX, link), link
    for link in (
        "errors.md",
        "#learn",
        "https://example.com",
        "es/operar-el-servidor.md#hosts-y-or%C3%ADgenes",
    ):
        assert not wrong(INDEX, link), link
