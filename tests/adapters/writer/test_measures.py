"""What is counted of making things durable: groups, times and bytes, and processes that end."""

import asyncio
from pathlib import Path

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.metrics import Metrics
from tests.adapters.blobs.local.shop import Make
from tests.adapters.writer.test_client import stored
from tests.support.figures import figure, figures
from tests.support.processes import own_writers, suspend
from tests.support.waiting import until

LARGE = 300 << 10


async def test_what_is_made_durable_is_measured(tmp_path: Path, image: Make) -> None:
    metrics = Metrics()
    catalog = SqliteCatalog(tmp_path / "catalog.db", metrics=metrics)
    store = LocalStore(tmp_path, catalog, writer=catalog.writer, metrics=metrics)
    await catalog.open()
    await store.open()
    commits = figure(metrics, "conexiones.commit.duration")
    await asyncio.gather(
        *(stored(catalog, store, image(f"{name}"), bytes([name]) * 1000) for name in range(20))
    )
    assert figure(metrics, "conexiones.fsync.duration", "segment") >= 1
    assert figure(metrics, "conexiones.commit.duration") > commits
    assert figure(metrics, "conexiones.writer.group.size") >= 1
    assert figure(metrics, "conexiones.segments.appended") == 20 * 1000
    await stored(catalog, store, image("again"), bytes([1]) * 1000)
    assert figure(metrics, "conexiones.segments.appended") == 20 * 1000
    assert figure(metrics, "conexiones.fsync.duration", "upload") == 0
    await stored(catalog, store, image("large"), bytes(LARGE))
    assert figure(metrics, "conexiones.fsync.duration", "blob") == 1
    sizes = await asyncio.to_thread(store.sizes)
    assert sizes["blobs"] == LARGE
    assert sizes["segments"] >= 20 * 1000
    assert await asyncio.to_thread(catalog.size) > 0
    await store.close()
    await catalog.close()


async def test_a_writer_that_ends_is_seen(tmp_path: Path) -> None:
    metrics = Metrics()
    catalog = SqliteCatalog(tmp_path / "catalog.db", metrics=metrics)
    assert figure(metrics, "conexiones.writer.processes") == 0
    await catalog.open()
    assert figure(metrics, "conexiones.writer.processes") == 1
    assert figure(metrics, "conexiones.writer.silence") == 0
    (process,) = own_writers()
    assert catalog.writer.pid == process.pid
    suspend(process)  # as a disk that hangs would have it
    waits = asyncio.ensure_future(catalog.put_user("Ana", pow=1, image=None, now=0))
    await until(lambda: figure(metrics, "conexiones.writer.silence") > 0.1)
    process.resume()
    await waits
    assert figure(metrics, "conexiones.writer.silence") == 0
    process.kill()
    await until(lambda: figure(metrics, "conexiones.writer.restarts"))
    assert figure(metrics, "conexiones.writer.processes") == 1
    assert figures(metrics, "conexiones.writer.jobs") == {("waiting",): 0, ("sent",): 0}
    await catalog.close()
    assert figure(metrics, "conexiones.writer.processes") == 0
