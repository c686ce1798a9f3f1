"""A cluster of several hosts, of which one takes writes."""

import asyncio
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conexiones.adapters.catalog.postgres.address import Address
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.connections import Patience
from conexiones.ports.records import ImageRecord
from tests.adapters.catalog.postgres.cutting import SOCKET
from tests.support.postgres import Engine


@pytest.fixture
def silent() -> Iterator[Path]:
    """A host that takes connections and never answers."""
    with tempfile.TemporaryDirectory(prefix="silent-") as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/{SOCKET}")
        listening.listen()
        yield Path(folder)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://a:b@c/d", ["postgresql://a:b@c/d"]),
        (
            "postgresql://a:b@c:1,[::1]:2,e/d?x=1",
            [f"postgresql://a:b@{at}/d?x=1" for at in ("c:1", "[::1]:2", "e")],
        ),
        ("postgresql:///d?host=/e&x=1", ["postgresql:///d?host=/e&x=1"]),
        ("postgresql://u@/d?host=e,f&x=1%2C2", [f"postgresql://u@/d?x=1%2C2&host={at}" for at in "ef"]),
        (
            "postgresql://u@/d?host=e,f&port=1,2",
            ["postgresql://u@/d?host=e&port=1", "postgresql://u@/d?host=f&port=2"],
        ),
        (
            "postgresql://u@/d?port=3&host=e,f",
            ["postgresql://u@/d?host=e&port=3", "postgresql://u@/d?host=f&port=3"],
        ),
    ],
)
def test_each_host_of_a_url(url: str, hosts: list[str]) -> None:
    assert Address(url).hosts == hosts


def test_ports_for_other_hosts_are_not_understood() -> None:
    with pytest.raises(ValueError, match="not understood"):
        Address("postgresql://u@/d?host=e,f&port=1,2,3")


async def test_the_host_that_answers_and_takes_writes_is_used(
    postgres: Engine, database: str, silent: Path, image: Callable[..., ImageRecord]
) -> None:
    """A primary that froze, one that is gone, and a standby do not keep a server from the new primary."""
    schema = database.partition("search_path=")[2]
    catalog = PostgresCatalog(
        f"postgresql://postgres@/postgres?host={silent},/nowhere,{postgres.folder}&search_path={schema}"
    )
    await catalog.open()
    await catalog.add_image(image("1"))
    assert await asyncio.gather(*(catalog.get_image("1") for _ in range(5))) == [image("1")] * 5
    await catalog.close()


async def test_where_no_host_does_it_says_so(postgres: Engine, silent: Path) -> None:
    for hosts in (f"{silent},/nowhere", f"/nowhere,{silent}", "/nowhere,/elsewhere"):
        with pytest.raises(ValueError, match=r"(cannot be reached|does not answer)"):
            await PostgresCatalog(
                f"postgresql://postgres@/postgres?host={hosts}", patience=Patience(connect=0.3)
            ).open()
