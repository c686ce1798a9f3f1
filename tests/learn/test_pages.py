"""The course at /learn, as the server serves it."""

import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from conexiones.testing import Server
from tests.learn.tools import learn_pages
from tests.support.clients import Response, curl
from tests.support.paths import ROOT

PAGES = sorted(
    [
        "/learn",
        *(
            f"/learn/{language}/{path.stem}".removesuffix("/README")
            for course, language in learn_pages.LANGUAGES.items()
            for path in (ROOT / "docs" / course).glob("*.md")
        ),
    ]
)


VOID = {"br", "hr", "img", "input", "link", "meta"}


class Page(HTMLParser):
    """What a page has of links, ids, and things that its policy forbids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.files: list[str] = []
        self.ids: list[str] = []
        self.forbidden: list[str] = []
        self.languages: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "a":
            self.links.append(given["href"] or "")
        if tag in {"script", "link"}:
            self.files.append(given.get("src") or given.get("href") or "")
        if tag == "html":
            self.languages.append(given["lang"] or "")
        if "data-search" in given:
            self.files.append(given["data-search"] or "")
        self.ids += [value for name, value in attrs if name == "id" and value]
        inline = [name for name in given if name == "style" or name.startswith("on")]
        if tag in {"style", "base", "iframe"} or inline:
            self.forbidden.append(self.get_starttag_text() or tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or tag == self.open.pop(), f"</{tag}> at {self.getpos()}"


def get(server: Server, path: str, **headers: str) -> Response:
    return curl(server.address, path, b"", dict(headers), method="GET")


def test_every_link_leads_somewhere_on_this_server(shared: Server) -> None:
    pages = {url: get(shared, url) for url in PAGES}
    read = {url: Page(response.body.decode()) for url, response in pages.items()}
    for url, page in read.items():
        assert pages[url].status == 200
        assert pages[url].headers["content-type"] == "text/html; charset=utf-8"
        assert pages[url].headers["cache-control"] == "no-cache"
        assert "unsafe" not in pages[url].headers["content-security-policy"]
        assert page.forbidden == []
        if url != "/learn":
            assert len(page.ids) == len(set(page.ids)), url
        for link in page.links:
            target, _, anchor = unquote(link).partition("#")
            if link.startswith("https:"):
                continue
            assert target in {"", "/", *read}, f"{url} links to {link}"
            assert not anchor or anchor in read[target or url].ids, f"{url} links to {link}"
    for name in {name for page in read.values() for name in page.files}:
        found = get(shared, name)
        assert found.status == 200, name
        assert "immutable" in found.headers["cache-control"]


def test_every_page_is_reached_from_the_start(shared: Server) -> None:
    reached, waiting = set(), ["/learn"]
    while waiting:
        url = waiting.pop()
        if url not in reached and url in PAGES:
            reached.add(url)
            body = get(shared, url).body.decode()
            waiting += [link.partition("#")[0] for link in Page(body).links]
    assert reached == set(PAGES)


def test_a_file_that_the_server_does_not_have_is_named() -> None:
    named = set()
    for name, content in learn_pages.built().items():
        if name.endswith(".html"):
            named |= set(
                re.findall(r'<span class="file">[^<]*</span> \(<code>([^<]+)</code>\)', content.decode())
            )
    assert "docs/errors.md" in named
    assert all((ROOT / name).is_file() for name in named)


def test_a_slash_at_the_end_and_compression_do_not_matter(shared: Server) -> None:
    plain = get(shared, "/learn/es")
    assert get(shared, "/learn/es/").body == plain.body
    zipped = get(shared, "/learn/es", **{"accept-encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert len(zipped.body) < len(plain.body)
    assert Page(plain.body.decode()).languages == ["es"]
    for path in ("/learn/nowhere", "/learn/es/index.html", "/learn/index", "/learn/../settings.py"):
        assert get(shared, path).status == 404, path


@pytest.mark.parametrize("path", ["/", "/learn", "/learn/es/", "/images/x"])
@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE"])
def test_what_can_only_be_read_says_so(shared: Server, path: str, verb: str) -> None:
    response = curl(shared.address, path, b"", {"content-type": "text/plain"}, method=verb)
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/%ff%fe", "/learn/%ff%fe", "/images/%ff%fe", "/learn/a"])
def test_there_is_no_path_that_is_not_ascii(shared: Server, path: str) -> None:
    assert get(shared, path).status == 404


@pytest.mark.parametrize(
    ("path", "word"), [("/en", "deadline"), ("/es", "plazo"), ("", "deadline"), ("", "plazo")]
)
def test_the_search_knows_every_heading(shared: Server, path: str, word: str) -> None:
    body = get(shared, f"/learn{path}").body.decode()
    name = re.search(r'data-search="([^"]+)"', body)
    assert name
    entries = json.loads(get(shared, name[1]).body)
    assert any(word in entry["text"] for entry in entries)
    for entry in entries:
        url, _, anchor = entry["url"].partition("#")
        assert url in PAGES
        assert anchor
