"""The page on servers that share everything, behind a balancer: a browser knows one origin only."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conexiones.testing import Server
from tests.page.browser import Browser, large
from tests.page.gate import gate
from tests.support.bitmaps import bitmap
from tests.support.seaweed import ObjectServer

FILM = 5_000_000


def test_the_page_goes_on_at_another_server_when_its_own_is_killed(
    browser: Browser,
    start: Callable[..., Server],
    database: str,
    object_server: ObjectServer,
    bucket: str,
    tmp_path: Path,
    photograph: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    one, other = (
        start(
            auth="none",
            database=database,
            blobs=f"s3://{bucket}/page",
            s3_endpoint=object_server.url,
            cache_dir=tmp_path / name,
            decode_workers=1,
        )
        for name in ("one", "other")
    )
    film = large(tmp_path / "film.jpg", photograph, FILM)

    def store() -> None:
        with other.client() as client:
            client.upload(b"".join(bitmap(9, 9)))

    with gate([one, other], FILM // 2) as gated:
        answers = {"kill": one.kill, "store": store}
        took = browser.play("another", gated, answers, remarks=True, file=str(film))
    print(f"milliseconds after the server was killed: {took}")
    with other.client() as client:
        newest = max(client.images(), key=lambda image: image.size_bytes)
        assert client.download(newest.id) == film.read_bytes()
