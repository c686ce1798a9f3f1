"""What is counted of uploads: how they end, who goes on with them, and who loses them. And of images."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.domain.images import Images
from conexiones.domain.uploads import Uploads
from conexiones.domain.uploads import uploads as rules
from conexiones.errors import NotAnImage, WriterFenced
from conexiones.metrics import Metrics
from conexiones.principals import EVERYBODY, Allowance, Principal
from tests.domain.conftest import LIMITS
from tests.support.callers import picture
from tests.support.figures import figure, figures

OWNER = Principal(
    subject="token:ana",
    scopes=frozenset({"write"}),
    owner="token:ana",
    allowance=Allowance(stored_bytes=len(picture()) * 4, stored_images=10),
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def uploads(tmp_path: Path, metrics: Metrics) -> AsyncIterator[Uploads]:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite3")
    store = LocalStore(tmp_path, catalog, writer=catalog.writer)
    await catalog.open()
    await store.open()
    # Never opened: uploading decodes nothing.
    decoder = VipsDecoder(workers=1, decode_pixels=1, decode_seconds=1, decode_memory=1)
    images = Images(catalog, store.staging, store.blobs, decoder, LIMITS, metrics=metrics)
    uploads = Uploads(catalog, store.staging, images, quiet_seconds=600, metrics=metrics)
    yield uploads
    await uploads.close()
    await store.close()
    await catalog.close()


async def begun(uploads: Uploads, data: bytes, *, by: Principal = EVERYBODY, name: str = "") -> str:
    upload = await uploads.create(name or data.hex()[:100], by=by, user="", size=None)
    async with uploads.writer(upload.id, by=by) as writer:
        await writer.write(0, data, None)
        await writer.commit()
    return upload.id


async def test_each_outcome_is_counted_once(
    uploads: Uploads, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = picture()
    ready = await begun(uploads, data)
    for _ in range(2):  # the second time it only says the same again
        await uploads.finish(ready, size=len(data), sha256=b"", by=EVERYBODY)
    cancelled = await begun(uploads, data, name="cancelled")
    for _ in range(2):
        await uploads.cancel(cancelled, by=EVERYBODY)
    with pytest.raises(NotAnImage):
        await begun(uploads, b"no image at all" * 100)
    cut = await begun(uploads, data[:-1], name="cut")
    await uploads.finish(cut, size=len(data) - 1, sha256=b"", by=EVERYBODY)
    await begun(uploads, data, name="late")
    monkeypatch.setattr(rules, "now", lambda: 1 << 60)
    monkeypatch.setattr("conexiones.domain.uploads.places.now", lambda: 1 << 60)
    await uploads.sweep()
    ended = figures(metrics, "conexiones.uploads.ended")
    assert ended == {
        ("READY",): 1,
        ("CANCELLED",): 1,
        ("REJECTED",): 2,
        ("EXPIRED",): 1,
        ("FAILED",): 0,
    }
    assert figure(metrics, "conexiones.uploads.created") == 5
    assert figures(metrics, "conexiones.images.stored") == {("BMP", "upload"): 1}
    assert figures(metrics, "conexiones.images.stored.size") == {("BMP", "upload"): len(data)}


async def test_the_same_request_again_creates_nothing(uploads: Uploads, metrics: Metrics) -> None:
    for _ in range(2):
        await uploads.create("same", by=EVERYBODY, user="", size=None)
    assert figure(metrics, "conexiones.uploads.created") == 1


async def test_who_goes_on_and_who_loses_an_upload_is_counted(uploads: Uploads, metrics: Metrics) -> None:
    data = picture()
    upload = await begun(uploads, data[:100])
    assert figure(metrics, "conexiones.uploads.resumed") == 0
    async with uploads.writer(upload, by=EVERYBODY) as first:
        pass

    async def lose() -> None:
        async with uploads.writer(upload, by=EVERYBODY) as writer:
            async with uploads.writer(upload, by=EVERYBODY):
                pass
            writer.check()

    with pytest.raises(WriterFenced):
        await lose()
    assert figure(metrics, "conexiones.uploads.resumed") == 3
    assert figure(metrics, "conexiones.uploads.fenced") == 1
    with pytest.raises(WriterFenced):
        async with uploads.writer(upload, epoch=first.epoch, by=EVERYBODY):
            pass
    assert figure(metrics, "conexiones.uploads.fenced") == 2


async def test_how_full_quotas_are_is_counted_with_each_image(uploads: Uploads, metrics: Metrics) -> None:
    data = picture()
    for name in ("one", "two"):
        upload = await begun(uploads, data, by=OWNER, name=name)
        await uploads.finish(upload, size=len(data), sha256=b"", by=OWNER)
    assert figures(metrics, "conexiones.quota.use") == {("bytes",): 2, ("images",): 2}
    (quotas,) = (one for one in metrics.read() if one.instrument.name == "conexiones.quota.use")
    assert quotas.series["images",][1] == pytest.approx(0.1 + 0.2)  # type: ignore[index]
    assert quotas.series["bytes",][1] == pytest.approx(0.25 + 0.5)  # type: ignore[index]
