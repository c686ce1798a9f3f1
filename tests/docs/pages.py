"""The pages of the documentation, as Markdown: their headings, links, code, tables and numbers."""

import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.support.paths import ROOT

DOCS = ROOT / "docs"
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@cache
def tracked() -> tuple[Path, ...]:
    """All files of the repository, and those that are about to be added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for name in names.splitlines() if (path := ROOT / name).is_file())


def pages() -> list[Path]:
    """All Markdown files, but for those of which others are made."""
    return [path for path in tracked() if path.suffix == ".md" and not path.name.endswith(".template.md")]


@dataclass
class Section:
    """What stands below a heading, as far as it is the same in every language."""

    level: str
    heading: str
    code: list[str] = field(default_factory=list)
    rows: int = 0
    items: int = 0
    names: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)


@dataclass
class Page:
    sections: list[Section]
    links: list[str]
    anchors: set[str]
    cells: list[str]


@cache
def read(path: Path) -> Page:
    section = Section("", "")
    page = Page([section], [], set(), [])
    slugs: Counter[str] = Counter()
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(path.read_text())
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before and before.type == "heading_open":
            section = Section(before.tag, token.content)
            page.sections.append(section)
            slug = anchor(token)
            page.anchors.add(f"{slug}-{slugs[slug]}" if slugs[slug] else slug)
            slugs[slug] += 1
        if before and before.type == "td_open":
            page.cells.append(token.content)
        _count(section, token)
        page.links += _links(token)
    return page


def anchor(heading: Token) -> str:
    """The anchor that code hosts give a heading."""
    text = "".join(child.content for child in heading.children or ())
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def _count(section: Section, token: Token) -> None:
    section.rows += token.type == "tr_open"
    section.items += token.type == "list_item_open"
    if token.type == "fence":
        section.code.append(f"{token.info}\n{token.content}")
    if token.type == "code_block":
        # What stands behind the first column of such a block is an explanation.
        lines = [re.split(r"\s{2,}", line.strip())[0] for line in token.content.splitlines()]
        section.code.append("\n".join(lines))
    for child in token.children or ():
        if child.type == "code_inline":
            section.names.add(child.content)
        if child.type == "text":
            section.numbers |= {re.sub("[.,]", "", found) for found in NUMBER.findall(child.content)}


def _links(token: Token) -> list[str]:
    found = re.findall(r'(?:href|src)="([^"]*)"', token.content) if token.type.startswith("html") else []
    for child in token.children or ():
        found += [str(child.attrs[name]) for name in ("href", "src") if name in child.attrs]
        if child.type == "html_inline":
            found += re.findall(r'(?:href|src)="([^"]*)"', child.content)
    return found
