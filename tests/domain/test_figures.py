"""How much there is, and how far behind watchers are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.domain import figures as rules
from conexiones.domain.figures import Figures
from conexiones.domain.watching import Watching
from conexiones.metrics import Metrics
from conexiones.principals import EVERYBODY
from tests.domain.test_watching import stored
from tests.support.figures import figure, figures
from tests.support.waiting import until


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite3")
    await catalog.open()
    yield catalog
    await catalog.close()


async def test_they_are_counted_while_somebody_looks(
    catalog: SqliteCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "COUNT_SECONDS", 0.0)
    monkeypatch.setattr(rules, "COUNT_FACTOR", 0)
    metrics = Metrics()
    watching = Watching(catalog, catalog, metrics=metrics)
    counting = asyncio.create_task(Figures(catalog, watching, metrics=metrics).run())
    await stored(catalog)
    await until(lambda: figures(metrics, "conexiones.images") == {(): 1})
    assert figure(metrics, "conexiones.images.size") == 1
    assert figure(metrics, "conexiones.users") == figure(metrics, "conexiones.uploads.open") == 0
    async with aclosing(watching.watch(token="", user=None, by=EVERYBODY)) as watch:
        await anext(watch)
        hearing = asyncio.ensure_future(anext(watch))
        await stored(catalog)
        assert (await hearing).events
        assert figure(metrics, "conexiones.watchers") == 1
        for _ in range(3):  # which the watcher does not take
            await stored(catalog)
        await until(lambda: figure(metrics, "conexiones.watch.behind") == 3)
    assert figure(metrics, "conexiones.watchers") == figure(metrics, "conexiones.watch.behind") == 0
    counting.cancel()
    await catalog.close()


async def test_without_a_catalog_there_is_no_figure(
    catalog: SqliteCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "COUNT_SECONDS", 0.0)
    monkeypatch.setattr(rules, "COUNT_FACTOR", 0)
    metrics = Metrics()
    counting = asyncio.create_task(Figures(catalog, Watching(catalog, catalog), metrics=metrics).run())
    await until(lambda: figures(metrics, "conexiones.images"))
    await catalog.close()
    await until(lambda: not figures(metrics, "conexiones.images"))
    counting.cancel()


async def test_whoever_misses_events_is_counted(catalog: SqliteCatalog) -> None:
    metrics = Metrics()
    watching = Watching(catalog, catalog, metrics=metrics)
    async with aclosing(watching.watch(token="99", user=None, by=EVERYBODY)) as watch:
        assert (await anext(watch)).kind == "RESYNC"
    assert figure(metrics, "conexiones.watch.resyncs") == 1
