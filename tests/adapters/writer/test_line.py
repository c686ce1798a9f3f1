"""In which order the writing process gets what waits."""

import asyncio
from pathlib import Path

from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.writer.client import AHEAD
from conexiones.adapters.writer.line import Line
from conexiones.shares import Caller, act_for
from tests.adapters.blobs.local.shop import Make


def taken(line: Line[str]) -> list[str]:
    found = []
    while line:
        found.append(line.first())
        line.pop()
    return found


def test_clients_take_turns_between_the_front_and_the_end() -> None:
    line: Line[str] = Line()
    for caller, item in (("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")):
        act_for(Caller(caller))
        line.push(item)
    line.push_behind("after them")
    line.push("a4")
    line.push_ahead("first")
    line.push_ahead("second")
    expected = ["first", "second", "a1", "b1", "a2", "a3", "after them", "a4"]
    assert sorted(line) == sorted(expected)
    assert len(line) == len(expected)
    assert taken(line) == expected
    line.push("once more")
    assert line.clear() == ["once more"]
    assert not line


async def test_a_write_waits_for_few_of_another_client(tmp_path: Path, image: Make) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.open()
    done = 0

    async def greedy(n: int) -> None:
        nonlocal done
        act_for(Caller("greedy", f"{n % 9}"))
        await catalog.add_image(image(f"{n}"))
        done += 1

    async def good() -> int:
        act_for(Caller("good"))
        await catalog.put_user("ana", pow=1, image=None, now=1)
        return done

    asked = [asyncio.create_task(greedy(n)) for n in range(20 * AHEAD)]
    assert await asyncio.create_task(good()) <= 2 * AHEAD
    await asyncio.gather(*asked)
    await catalog.close()
