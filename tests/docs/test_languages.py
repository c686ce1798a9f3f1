"""Pages that exist in English and Spanish say the same: heading for heading, they have the same code, the
same names and numbers, and as many rows and points. The lessons of the course are compared in tests/learn."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, Section, pages, read
from tests.docs.test_links import target
from tests.support.paths import ROOT

PAIRS = [
    (english, path)
    for path in pages()
    if path == ROOT / "README.es.md" or path.parent == DOCS / "es"
    for english in [target(path, read(path).links[0])[0]]
]
WORDS = re.compile(r"`[^`]*`|\b[a-zñáéíóú]{2,}\b")
"""The words of a text, of which those in code are the same in every language."""


def apart(english: Section, spanish: Section) -> list[str]:
    """In what two sections differ. Numbers are compared without the separators of their language."""
    found = []
    if english.code != spanish.code:
        found.append("code")
    if (english.rows, english.items) != (spanish.rows, spanish.items):
        found.append("rows or points")
    for kind in ("names", "numbers"):
        one, other = getattr(english, kind), getattr(spanish, kind)
        if one != other:
            found.append(f"only English: {sorted(one - other)}; only Spanish: {sorted(other - one)}")
    return [f"{english.heading} / {spanish.heading}: {what}" for what in found]


def test_there_are_pages_for_what_one_needs_first() -> None:
    names = {english.relative_to(ROOT).as_posix() for english, _ in PAIRS}
    assert names >= {
        "README.md",
        "docs/README.md",
        "docs/access.md",
        "docs/errors.md",
        "docs/move-a-large-image.md",
        "docs/operations.md",
        "docs/settings.md",
    }


@pytest.mark.parametrize(("english", "spanish"), PAIRS, ids=lambda path: path.stem)
def test_both_languages_say_the_same(english: Path, spanish: Path) -> None:
    assert target(english, read(english).links[0])[0] == spanish, "the first link is to the other language"
    pair = read(english).sections, read(spanish).sections
    levels, niveles = ([section.level for section in sections] for sections in pair)
    assert levels == niveles
    assert [what for sections in zip(*pair, strict=True) for what in apart(*sections)] == []


@pytest.mark.parametrize(("english", "spanish"), PAIRS, ids=lambda path: path.stem)
def test_nothing_was_left_in_english(english: Path, spanish: Path) -> None:
    same = set(read(english).cells) & set(read(spanish).cells)
    prose = {cell for cell in same if len([one for one in WORDS.findall(cell) if one[0] != "`"]) > 2}
    assert prose == set(), "translate these cells"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("`--width 320`", "`--width 640`"),
        ("1,000 images", "1,001 images"),
        ("conexiones ls", "conexiones rm ID"),
        ("- A second point.", ""),
        ("| `b` | 2 |", ""),
        ("DATA/lock ", "DATA/block "),
    ],
)
def test_what_has_drifted_apart_is_found(tmp_path: Path, before: str, after: str) -> None:
    text = """# A title

With `--width 320` there are 1,000 images.

```sh
conexiones ls
```

    DATA/lock    held while a server runs

- A first point.
- A second point.

| `a` | 1 |
| --- | --- |
| `b` | 2 |
"""
    (tmp_path / "english.md").write_text(text)
    (tmp_path / "spanish.md").write_text(text.replace("1,000", "1.000").replace("held while", "bloqueado si"))
    (tmp_path / "drifted.md").write_text(text.replace(before, after))
    english, spanish, drifted = (
        read(tmp_path / f"{name}.md").sections[-1] for name in ("english", "spanish", "drifted")
    )
    assert apart(english, spanish) == []
    assert apart(english, drifted) != []
