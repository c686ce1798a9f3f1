"""The lessons: both languages have the same parts and programs, and nothing in them is typed twice."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.learn.tools import learn
from tests.support.paths import ROOT

COURSES = [learn.pages(course) for course in ("learn", "aprende")]


def structure(page: Path) -> list[str]:
    """The levels of the headings, and the places that are filled by machine, in order."""
    text = re.sub(r"<!-- end -->", "", page.read_text())
    found = re.findall(r"^(#+) |^(<!-- .* -->)$|^(\*\*\d+\.\*\*)|^(```)|^(\|)", text, flags=re.MULTILINE)
    return ["".join(groups) for groups in found]


def test_both_courses_have_the_same_lessons() -> None:
    numbers = [[page.name.partition("-")[0] for page in pages] for pages in COURSES]
    assert numbers[0] == numbers[1]
    assert numbers[0] == sorted(path.name for path in (ROOT / "docs/learn/programs").iterdir())


@pytest.mark.parametrize("pair", list(zip(*COURSES, strict=True)), ids=lambda pair: pair[0].stem)
def test_a_lesson_has_the_same_parts_in_both_languages(pair: tuple[Path, Path]) -> None:
    english, spanish = map(structure, pair)
    assert english == spanish


@pytest.mark.parametrize("page", [page for pages in COURSES for page in pages], ids=lambda page: page.stem)
def test_a_lesson_is_whole(page: Path) -> None:
    parts = structure(page)
    assert parts[0] == "#"
    for kind in ("top", "program", "run", "exercise", "solution", "nav"):
        assert any(part.startswith(f"<!-- {kind}") for part in parts), kind
    headings = re.findall(r"^## (.*)", page.read_text(), flags=re.MULTILINE)
    assert len(headings) >= 4
    assert headings[-3:] in (
        ["A look at the wire", "Break it", "Exercises"],
        ["Lo que viaja por la red", "Rómpelo", "Ejercicios"],
    )


@pytest.mark.parametrize("page", [page for pages in COURSES for page in pages], ids=lambda page: page.stem)
def test_code_is_typed_in_one_place(page: Path) -> None:
    """All code blocks are between markers, where the machine writes them."""
    assert "```" not in learn.PLACE.sub("", page.read_text())


def test_what_is_made_by_machine_is_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, "tools/learn.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
