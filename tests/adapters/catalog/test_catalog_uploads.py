"""What every Catalog promises of uploads."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from conexiones.errors import StorageUnavailable, TooManyUploads, UploadBytesExceeded
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import Charge, ImageRecord, UploadQuota, UploadRecord, UploadState
from conexiones.principals import Allowance
from tests.adapters.backends import CatalogBackend

Make = Callable[..., ImageRecord]
Upload = Callable[..., UploadRecord]
ENDS: list[UploadState] = ["READY", "REJECTED", "FAILED", "CANCELLED", "EXPIRED"]


async def end(
    catalog: Catalog, id: str, state: UploadState = "CANCELLED", now: int = 9
) -> UploadRecord | None:
    return await catalog.end_upload(id, state=state, image=None, failure=None, now=now)


async def test_an_upload_comes_back_as_it_was(catalog: Catalog, upload: Upload) -> None:
    full = upload("a", declared_size=2**62, user="Ñandú 🦤", create_time=5, update_time=6)
    assert await catalog.create_upload(full) == full
    assert await catalog.get_upload("a") == full
    assert await catalog.get_upload("b") is None


async def test_the_same_request_gives_the_same_upload(catalog: Catalog, upload: Upload) -> None:
    created = await asyncio.gather(
        *(catalog.create_upload(upload(f"{i}", request_id="r", declared_size=i)) for i in range(20))
    )
    assert len({record.id for record in created}) == 1
    first = created[0]
    advanced = await catalog.advance_upload(first.id, epoch=0, size=7, now=2)
    assert await catalog.create_upload(upload("z", request_id="r")) == advanced, "as it is now"
    assert await catalog.get_upload("z") is None
    with pytest.raises(StorageUnavailable):
        await catalog.create_upload(upload(first.id, request_id="another"))


async def test_a_claim_fences_the_writer_before(catalog: Catalog, upload: Upload) -> None:
    await catalog.create_upload(upload("a"))
    claimed = await catalog.claim_upload("a", now=3)
    assert claimed == upload("a", writer_epoch=1, update_time=3)
    assert (await catalog.advance_upload("a", epoch=1, size=10, now=4)).committed_size == 10
    assert (await catalog.claim_upload("a", now=5)).writer_epoch == 2
    fenced = await catalog.advance_upload("a", epoch=1, size=20, now=6)
    assert fenced == upload("a", writer_epoch=2, committed_size=10, update_time=5)
    assert await catalog.get_upload("a") == fenced
    assert (await catalog.advance_upload("a", epoch=2, size=20, now=6)).committed_size == 20


@pytest.mark.parametrize("charge", [None, Charge(allowance=Allowance(stored_images=9))])
async def test_a_fenced_writer_ends_nothing(
    catalog: Catalog, image: Make, upload: Upload, charge: Charge | None
) -> None:
    await catalog.create_upload(upload("a", owner="ana"))
    await catalog.claim_upload("a", now=3)
    taken = await catalog.claim_upload("a", now=4)
    ready: dict[str, Any] = {"image": image("i", owner="ana"), "failure": None, "now": 5, "charge": charge}
    assert await catalog.end_upload("a", state="READY", epoch=1, **ready) == taken
    assert await catalog.end_upload("a", state="FAILED", epoch=1, image=None, failure="x", now=5) == taken
    assert await catalog.get_image("i") is None
    assert (await catalog.usage("ana")).stored_images == 0
    assert (await catalog.end_upload("a", state="READY", epoch=2, **ready)).state == "READY"
    assert await catalog.get_image("i") is not None


async def test_each_claim_has_an_epoch_of_its_own(catalog: Catalog, upload: Upload) -> None:
    await catalog.create_upload(upload("a"))
    claims = await asyncio.gather(*(catalog.claim_upload("a", now=2) for _ in range(30)))
    assert sorted(claim.writer_epoch for claim in claims) == list(range(1, 31))


async def test_the_committed_size_never_decreases(catalog: Catalog, upload: Upload) -> None:
    await catalog.create_upload(upload("a"))
    await catalog.advance_upload("a", epoch=0, size=50, now=2)
    assert await catalog.advance_upload("a", epoch=0, size=49, now=3) == upload(
        "a", committed_size=50, update_time=2
    )
    assert (await catalog.advance_upload("a", epoch=0, size=50, now=4)).update_time == 4
    sizes = random.Random(0).sample(range(100), 60)
    answers = await asyncio.gather(
        *(catalog.advance_upload("a", epoch=0, size=size, now=5) for size in sizes)
    )
    told = [answer.committed_size for answer in answers]
    assert told == sorted(told)
    assert (await catalog.get_upload("a")).committed_size == max(sizes)


async def test_an_upload_that_is_not_there_is_none(catalog: Catalog) -> None:
    assert await catalog.claim_upload("a", now=1) is None
    assert await catalog.advance_upload("a", epoch=0, size=1, now=1) is None
    assert await end(catalog, "a") is None


@pytest.mark.parametrize("state", ENDS)
async def test_what_has_ended_stays_as_it_was(
    catalog: Catalog, image: Make, upload: Upload, state: UploadState
) -> None:
    await catalog.create_upload(upload("a"))
    stored = image("i", user="ana") if state == "READY" else None
    failure = '{"reason": "x"}' if state in ("REJECTED", "FAILED") else None
    ended = await catalog.end_upload("a", state=state, image=stored, failure=failure, now=5)
    assert ended == upload("a", state=state, image_id=stored and stored.id, failure=failure, update_time=5)
    assert await catalog.get_image("i") == stored
    for other in ENDS:
        late = image(f"late {other}")
        again = await catalog.end_upload("a", state=other, image=late, failure="other", now=6)
        assert again == ended
        assert await catalog.get_image(late.id) is None
    assert await catalog.claim_upload("a", now=7) == ended
    assert await catalog.advance_upload("a", epoch=0, size=100, now=7) == ended
    assert await catalog.create_upload(upload("b", request_id=ended.request_id)) == ended
    assert await catalog.get_upload("a") == ended
    if stored:
        await catalog.delete_image("i", now=8)
        assert await catalog.get_upload("a") == ended, "the outcome is told even then"


async def test_an_end_that_fails_leaves_the_upload_open(
    catalog: Catalog, image: Make, upload: Upload
) -> None:
    await catalog.add_image(image("i"))
    await catalog.create_upload(upload("a"))
    with pytest.raises(StorageUnavailable):
        await catalog.end_upload("a", state="READY", image=image("i"), failure=None, now=5)
    assert await catalog.get_upload("a") == upload("a")
    assert await catalog.event_range() == (0, 1)


async def test_of_many_ends_one_counts(catalog: Catalog, image: Make, upload: Upload) -> None:
    for lap in range(10):
        await catalog.create_upload(upload(f"{lap}"))
        outcomes = await asyncio.gather(
            *(
                catalog.end_upload(f"{lap}", state="READY", image=image(f"{lap}.{i}"), failure=None, now=i)
                for i in range(5)
            ),
            *(end(catalog, f"{lap}") for _ in range(5)),
        )
        assert len(set(outcomes)) == 1
        images = [await catalog.get_image(f"{lap}.{i}") for i in range(5)]
        assert [found.id for found in images if found] == [outcomes[0].image_id]


async def test_ended_ones_are_forgotten_and_open_ones_never(
    new_catalog: Callable[[], CatalogBackend], upload: Upload
) -> None:
    catalog = new_catalog()
    await catalog.open()
    for i, state in enumerate(ENDS):
        await catalog.create_upload(upload(state))
        await end(catalog, state, state, now=10 + i)
    await catalog.create_upload(upload("open"))
    assert await catalog.forget_uploads(ended_before=10, limit=10) == 0
    assert await catalog.forget_uploads(ended_before=13, limit=10) == 3
    await catalog.close()
    catalog = new_catalog()
    await catalog.open()
    left = [name for name in (*ENDS, "open") if await catalog.get_upload(name)]
    assert left == ["CANCELLED", "EXPIRED", "open"]
    again = upload("new", request_id="request READY")
    assert await catalog.create_upload(again) == again, "its request_id is free"
    expired = await catalog.get_upload("EXPIRED")
    assert expired == replace(upload("EXPIRED"), state="EXPIRED", update_time=14)
    await catalog.close()


async def test_no_more_uploads_are_open_than_the_quota_has(catalog: Catalog, upload: Upload) -> None:
    quota = UploadQuota(uploads=14, bytes=2**62)  # of which one client may have half
    many = [upload(f"{i:02}") for i in range(30)]
    # At once, and so in few transactions: of each, only what fits may come in.
    outcomes = await asyncio.gather(
        *(catalog.create_upload(one, quota=quota) for one in many), return_exceptions=True
    )
    refused = [one for one, outcome in zip(many, outcomes, strict=True) if outcome != one]
    assert len(refused) == 23
    assert all(isinstance(outcome, TooManyUploads | UploadRecord) for outcome in outcomes)
    assert [await catalog.get_upload(one.id) for one in refused] == [None] * 23
    kept = next(one for one in many if one not in refused)
    assert await catalog.create_upload(upload("z", request_id=kept.request_id), quota=quota) == kept
    await end(catalog, kept.id)
    assert await catalog.create_upload(refused[0], quota=quota) == refused[0]
    with pytest.raises(TooManyUploads) as caught:
        await catalog.create_upload(refused[1], quota=quota)
    assert caught.value.facts == {"limit": 7, "actual": 8}


async def test_open_uploads_have_no_more_bytes_than_the_quota_has(catalog: Catalog, upload: Upload) -> None:
    quota = UploadQuota(uploads=100, bytes=2000)
    await catalog.create_upload(upload("declared", declared_size=600), quota=quota)
    await catalog.create_upload(upload("open"), quota=quota)
    assert (await catalog.advance_upload("open", epoch=0, size=300, now=2, quota=quota)).committed_size == 300
    with pytest.raises(UploadBytesExceeded) as caught:
        await catalog.create_upload(upload("more", declared_size=101), quota=quota)
    assert caught.value.facts == {"limit": 1000, "actual": 1001}
    with pytest.raises(UploadBytesExceeded):
        await catalog.advance_upload("open", epoch=0, size=401, now=3, quota=quota)
    assert await catalog.get_upload("more") is None
    assert (await catalog.get_upload("open")).committed_size == 300
    # What was announced has its room, and takes no more of it when it comes.
    advanced = await catalog.advance_upload("declared", epoch=0, size=600, now=3, quota=quota)
    assert advanced.committed_size == 600
    await end(catalog, "declared")
    assert (
        await catalog.advance_upload("open", epoch=0, size=1000, now=4, quota=quota)
    ).committed_size == 1000


async def test_of_bytes_at_once_no_more_come_in_than_fit(catalog: Catalog, upload: Upload) -> None:
    quota = UploadQuota(uploads=100, bytes=2000)
    for i in range(20):
        await catalog.create_upload(upload(f"{i}"), quota=quota)
    outcomes = await asyncio.gather(
        *(catalog.advance_upload(f"{i}", epoch=0, size=150, now=2, quota=quota) for i in range(20)),
        *(catalog.create_upload(upload(f"d{i}", declared_size=150), quota=quota) for i in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, UploadRecord) for outcome in outcomes) == 6
    assert sum(isinstance(outcome, UploadBytesExceeded) for outcome in outcomes) == 34
