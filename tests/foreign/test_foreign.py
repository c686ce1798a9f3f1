"""The clients that are built already, over plain text, and their page. `make foreign` does the rest."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conexiones.testing import Server, serve
from tests.foreign.build import FAMILIES, built
from tests.foreign.clients import CLIENTS, Client
from tests.foreign.given import CASES, LIMIT, SMALL, Large, large
from tests.foreign.page import PAGE, page
from tests.foreign.run import Wire, problems


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Large:
    return large(tmp_path_factory.mktemp("foreign"), *SMALL)


@pytest.fixture(scope="module")
def frugal() -> Iterator[Server]:
    with serve(max_message_bytes=LIMIT) as server:
        yield server


@pytest.mark.parametrize("client", [client for client in CLIENTS if client.short], ids=str)
async def test_a_client_sees_what_it_should(frugal: Server, client: Client, image: Large) -> None:
    # Languages that are not installed are no failure, even in CI.
    if missing := FAMILIES[client.family].missing():
        pytest.skip(missing)
    if not built(client.family):
        pytest.skip(f"{client.family} is not built: make foreign")
    assert await problems(client, Wire(name="plain text", address=frugal.address), image) == []


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "make foreign ARGS=--write"


def test_what_is_left_out_is_a_case() -> None:
    for client in CLIENTS:
        assert client.left_out.keys() <= CASES.keys()


def test_dependencies_are_pinned() -> None:
    here = Path(__file__).parent
    for name in ("go/go.sum", "node/package-lock.json", "rust/Cargo.lock"):
        assert (here / name).exists()
    assert "--hash=sha256:" in (here / "python" / "requirements.txt").read_text()
    pom = (here / "java" / "pom.xml").read_text()
    parts = re.findall(r"<(dependency|plugin|extension)>(.*?)</\1>", pom, re.DOTALL)
    assert parts
    assert all("<version>" in part for _, part in parts)
