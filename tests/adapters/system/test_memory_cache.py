"""MemoryCache: it keeps to its bounds, and what was dropped is not given again."""

from random import Random
from typing import Any

import pytest

from conexiones.adapters.system import memory_cache
from conexiones.adapters.system.memory_cache import ENTRY, LARGEST, MemoryCache
from conexiones.metrics import Metrics
from tests.support.figures import figure, figures
from tests.support.waiting import until


async def test_the_least_recently_used_are_dropped_first() -> None:
    cache: MemoryCache[str] = MemoryCache(3 * (100 + ENTRY))
    for key in "abc":
        cache.keep(key, key, 100)
    assert cache.get("a") == "a"
    cache.keep("d", "d", 100)
    assert [cache.get(key) for key in "abcd"] == ["a", None, "c", "d"]


@pytest.mark.parametrize("limit", [0, 1 << 10, 1 << 20])
async def test_it_never_holds_more_than_its_limit_nor_anything_large(limit: int) -> None:
    cache: MemoryCache[int] = MemoryCache(limit)
    random = Random(7)
    for _ in range(2000):
        key, size = random.randrange(50), random.choice([0, 100, LARGEST, LARGEST + 1])
        cache.keep(key, size, size)
        assert cache.held <= limit
        assert cache.get(key) != LARGEST + 1
        if not random.randrange(9):
            cache.drop(random.randrange(50))
    for key in range(50):
        cache.drop(key)
    assert cache.held == 0


async def test_what_is_dropped_while_it_is_read_is_not_kept() -> None:
    cache: MemoryCache[str] = MemoryCache(1 << 20)
    with cache.reading("a") as early, cache.reading("b") as other:
        cache.drop("a")
        with cache.reading("a") as late:
            early.keep("old", 3)
            assert cache.get("a") is None
            other.keep("b", 1)
            late.keep("new", 3)
    assert (cache.get("a"), cache.get("b")) == ("new", "b")


async def test_what_nobody_asks_for_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_cache, "IDLE_SECONDS", 0.01)
    cache: MemoryCache[Any] = MemoryCache(1 << 20)
    for key in range(9):
        cache.keep(key, key, 10)
    await until(lambda: not cache.held)
    cache.keep("again", 1, 10)
    assert cache.get("again") == 1
    cache.clear()
    assert cache.held == 0


async def test_hits_misses_and_evictions_are_counted() -> None:
    metrics = Metrics()
    cache: MemoryCache[str] = MemoryCache(2 * (100 + ENTRY), metrics=metrics)
    for key in "abc":
        cache.keep(key, key, 100)
    assert [cache.get(key) for key in "abc"] == [None, "b", "c"]
    cache.drop("b")  # makes room for nothing
    looked = figures(metrics, "conexiones.cache.lookups")
    assert looked == {("memory", "hit"): 2, ("memory", "miss"): 1}
    assert figure(metrics, "conexiones.cache.evictions", "memory") == 1
    assert figure(metrics, "conexiones.cache.size", "memory") == cache.held == 100 + ENTRY
    assert figure(metrics, "conexiones.cache.limit", "memory") == cache.limit
