"""Makes the static pages at /learn, in src/conexiones/learn, of the lessons' Markdown.

There is no inline script and no inline style, since the server's Content-Security-Policy forbids them. The
styles and the script are in web/learn; their names get a hash of their content.
"""

import gzip
import hashlib
import html
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "web" / "learn"
TARGET = ROOT / "src" / "conexiones" / "learn"
LANGUAGES = {"learn": "en", "aprende": "es"}
WORDS = {
    "en": {
        "course": "Learn gRPC",
        "search": "Search the course",
        "none": "Nothing found.",
        "copy": "Copy",
        "copied": "Copied",
        "skip": "Skip to the text",
        "gallery": "Gallery",
    },
    "es": {
        "course": "Aprende gRPC",
        "search": "Buscar en el curso",
        "none": "No se encontró nada.",
        "copy": "Copiar",
        "copied": "Copiado",
        "skip": "Ir al texto",
        "gallery": "Galería",
    },
}


def write(*, check: bool) -> list[str]:
    """Writes the pages, unless `check`. Gives the names of those that are out of date."""
    fresh = built()
    there = {str(path.relative_to(TARGET)) for path in TARGET.rglob("*") if path.is_file()}
    wrong = sorted(there - {name + suffix for name in fresh for suffix in ("", ".gz")})
    for name, content in fresh.items():
        if not _same(TARGET / name, content):
            wrong.append(name)
    if wrong and not check:
        shutil.rmtree(TARGET, ignore_errors=True)
        for name, content in fresh.items():
            path = TARGET / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))
    return [f"src/conexiones/learn/{name}" for name in wrong]


def _same(path: Path, content: bytes) -> bool:
    """Whether the file and its compressed copy have the content. zlib's output changes with versions."""
    packed = path.with_name(f"{path.name}.gz")
    return (
        path.is_file()
        and packed.is_file()
        and path.read_bytes() == content
        and gzip.decompress(packed.read_bytes()) == content
    )


def built() -> dict[str, bytes]:
    """All files by their path below TARGET."""
    files: dict[str, bytes] = {}
    assets = {name: _hashed(files, name, (SOURCES / name).read_bytes()) for name in ("learn.css", "learn.js")}
    assets["icon.svg"] = _hashed(files, "icon.svg", (SOURCES.parent / "icon.svg").read_bytes())
    template = (SOURCES / "page.html").read_text()
    lists = []
    found: list[dict[str, str]] = []
    for course, language in LANGUAGES.items():
        entries: list[dict[str, str]] = []
        bodies = {}
        for path in sorted((ROOT / "docs" / course).glob("*.md")):
            url = _url(path)
            tokens = _markdown().parse(path.read_text())
            entries += _entries(url, tokens)
            _place_images(files, path, tokens)
            bodies[path] = (_title(tokens), _body(path, tokens))
        found += entries
        search = _hashed(files, f"search-{language}.json", _data(entries))
        for path, (title, body) in bodies.items():
            if path.name == "README.md":
                lists.append(body)
            files[_file(path)] = _page(template, language, title, body, {**assets, "search": search})
    both = "\n".join(
        f'<section lang="{language}">{body}</section>'
        for language, body in zip(LANGUAGES.values(), lists, strict=True)
    )
    search = _hashed(files, "search.json", _data(found))
    files["index.html"] = _page(
        template, "en", "Learn gRPC · Aprende gRPC", both, {**assets, "search": search}
    )
    return files


def _data(entries: list[dict[str, str]]) -> bytes:
    return json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()


def _hashed(files: dict[str, bytes], name: str, content: bytes) -> str:
    """Adds a file whose name has a hash of its content; gives its URL."""
    stem, _, suffix = name.rpartition(".")
    hashed = f"{stem}-{hashlib.sha256(content).hexdigest()[:8].upper()}.{suffix}"
    files[hashed] = content
    return f"/learn/{hashed}"


def _page(template: str, language: str, title: str, body: str, urls: dict[str, str]) -> bytes:
    values = {
        "LANGUAGE": language,
        "TITLE": html.escape(title),
        "STYLE": urls["learn.css"],
        "ICON": urls["icon.svg"],
        "SCRIPT": urls["learn.js"],
        "INDEX": urls["search"],
        **{name.upper(): text for name, text in WORDS[language].items()},
    }
    text = re.sub(r"%([A-Z]+)%", lambda found: values[found[1]], template.replace("%BODY%", "\0"))
    return text.replace("\0", body).encode()


def _file(path: Path) -> str:
    language = LANGUAGES[path.parent.name]
    return f"{language}/index.html" if path.name == "README.md" else f"{language}/{path.stem}.html"


def _url(path: Path) -> str:
    language = LANGUAGES[path.parent.name]
    return f"/learn/{language}" if path.name == "README.md" else f"/learn/{language}/{path.stem}"


def _highlighted(text: str, language: str, _attributes: str) -> str:
    try:
        lexer = get_lexer_by_name({"proto": "protobuf"}.get(language, language))
    except ClassNotFound:
        return html.escape(text)
    return str(highlight(text, lexer, HtmlFormatter(nowrap=True)))


def _markdown() -> MarkdownIt:
    # `html` is for <details>, and for the comments that become boxes. The text is ours alone.
    return MarkdownIt("commonmark", {"html": True, "highlight": _highlighted}).enable("table")


def _body(path: Path, tokens: list[Token]) -> str:
    for heading, inline in _headings(tokens):
        heading.attrSet("id", _anchor(inline.content))
    _link(path, tokens)
    text = _markdown().renderer.render(tokens, _markdown().options, {})
    # A code block that is too wide scrolls, so the keyboard has to reach it.
    text = text.replace("<pre>", '<pre tabindex="0">')
    text = re.sub(r"<!-- end -->", "</div>", text)
    text = re.sub(r"(<table>.*?</table>)", r'<div class="wide" tabindex="0">\1</div>', text, flags=re.DOTALL)
    return re.sub(r"<!-- ([a-z]+)[^>]*-->", r'<div class="\1">', text)


def _headings(tokens: list[Token]) -> Iterator[tuple[Token, Token]]:
    return ((one, tokens[i + 1]) for i, one in enumerate(tokens) if one.type == "heading_open")


def _title(tokens: list[Token]) -> str:
    return next(inline.content for _, inline in _headings(tokens))


def _anchor(heading: str) -> str:
    """The anchor that code hosts give the heading, so that links are right in both places."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _link(path: Path, tokens: list[Token]) -> None:
    """Links lessons to each other as pages. Files that the server does not have are named instead."""
    for token in tokens:
        children, named = token.children or [], ""
        token.children = []
        for child in children:
            token.children.append(child)
            if child.type == "link_open":
                named = _relink(path, child)
            elif child.type == "link_close" and named:
                child.tag = "span"
                if named.endswith(".md"):  # the text of the others is their name
                    token.children += [_text("text", " ("), _text("code_inline", named), _text("text", ")")]
                named = ""


def _relink(path: Path, link: Token) -> str:
    """Gives the name of the file if the server does not have it: then the link is one no more."""
    target, _, anchor = str(link.attrGet("href")).partition("#")
    found = (path.parent / target).resolve() if target else path
    if found.suffix == ".md" and found.parent.name in LANGUAGES and found.parent.parent == ROOT / "docs":
        link.attrSet("href", _url(found) + (f"#{anchor}" if anchor else ""))
    elif not target.startswith(("https:", "http:", "/")):
        link.tag, link.attrs = "span", {"class": "file"}
        return str(found.relative_to(ROOT))
    return ""


def _text(kind: str, content: str) -> Token:
    return Token(kind, "code" if kind == "code_inline" else "", 0, content=content)


def _place_images(files: dict[str, bytes], path: Path, tokens: list[Token]) -> None:
    """Adds the images of a lesson."""
    for token in tokens:
        for child in token.children or ():
            if child.type == "image":
                image = (path.parent / str(child.attrGet("src"))).resolve()
                child.attrSet("src", _hashed(files, image.name, image.read_bytes()))


def _entries(url: str, tokens: list[Token]) -> list[dict[str, str]]:
    """What the search finds: the text below each heading."""
    found: list[dict[str, str]] = []
    inside = ""
    links = False  # to other lessons, and to the other language
    for token in tokens:
        if token.type == "html_block":
            links = token.content.startswith(("<!-- top ", "<!-- nav "))
        elif links:
            continue
        elif token.type == "heading_open":
            inside = token.tag
        elif token.type == "inline" and inside:
            found.append({"url": f"{url}#{_anchor(token.content)}", "title": token.content, "text": ""})
            inside = ""
        elif token.type in {"inline", "fence"} and found:
            found[-1]["text"] += " " + re.sub(r"\]\([^)]*\)|[`*\[\]]", "", " ".join(token.content.split()))
    lesson = found[0]["title"] if found else ""
    return [{**one, "lesson": lesson} for one in found]
