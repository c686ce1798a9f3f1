"""The files of the page: headers, compression and caching."""

import gzip
import re
from pathlib import Path

import pytest

from conexiones.testing import Server
from conexiones.transport.http.page import FOLDER, Page
from tests.support.clients import Headers, Response, curl


def get(server: Server, path: str, headers: Headers | None = None, *, method: str = "GET") -> Response:
    return curl(server.address, path, b"", headers or {}, method=method)


def assets(html: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/page/[^"]+)"', html)


def test_the_page_and_all_that_it_needs(shared: Server) -> None:
    index = get(shared, "/")
    assert index.status == 200
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    assert index.headers["cache-control"] == "no-cache"
    names = assets(index.body.decode())
    assert {name.rpartition(".")[2] for name in names} == {"js", "css", "svg"}
    for name in names:
        found = get(shared, name)
        assert found.status == 200
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert found.body == (FOLDER / name.removeprefix("/page/")).read_bytes()
        for response in (index, found):
            policy = response.headers["content-security-policy"]
            assert policy.startswith("default-src 'none';")
            assert "unsafe" not in policy
            assert "http" not in policy
            assert response.headers["x-content-type-options"] == "nosniff"


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.br")) < 120_000


def test_who_accepts_it_compressed_gets_it_so(shared: Server) -> None:
    plain = get(shared, "/")
    brotli = get(shared, "/", {"accept-encoding": "gzip, deflate, br"})
    zipped = get(shared, "/", {"accept-encoding": "gzip;q=0.5, br;q=0"})
    assert "content-encoding" not in plain.headers
    assert brotli.headers["content-encoding"] == "br"
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == plain.body
    assert brotli.body == (FOLDER / "index.html.br").read_bytes()
    assert len({response.headers["etag"] for response in (plain, brotli, zipped)}) == 3
    assert all(response.headers["vary"] == "accept-encoding" for response in (plain, brotli, zipped))


def test_what_a_browser_has_is_not_sent_again(shared: Server) -> None:
    etag = get(shared, "/").headers["etag"]
    for condition in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = get(shared, "/", {"if-none-match": condition})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    assert get(shared, "/", {"if-none-match": '"x"'}).status == 200


def test_only_reading_is_allowed_and_only_what_is_there(shared: Server) -> None:
    for method in ("PUT", "POST", "DELETE"):
        refused = get(shared, "/", method=method)
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD"), method
    for path in (
        "/page/",
        "/page/index.html",
        "/page/../settings.py",
        "/page/%2e%2e/settings.py",
        "/index.html",
    ):
        assert get(shared, path).status == 404, path


def test_a_package_without_its_page_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not built"):
        Page(tmp_path).open()
