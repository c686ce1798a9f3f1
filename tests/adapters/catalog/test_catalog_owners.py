"""What every Catalog promises of owners: their lists, counts and events, and the limits on what they have."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from conexiones.errors import ConexionesError, QuotaExceeded, TicketUsedUp
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import Charge, Counts, ImageRecord, UploadRecord, Usage
from conexiones.principals import SPARE_UPLOADS, Allowance, Terms
from tests.adapters.backends import CatalogBackend

Make = Callable[..., ImageRecord]
MakeUpload = Callable[..., UploadRecord]

TWO = Charge(allowance=Allowance(stored_images=2))
TICKET = Charge(allowance=Allowance(), ticket="t", terms=Terms(images=2, bytes=10))


async def ids(catalog: Catalog, owner: str | None, **filters: Any) -> str:
    every: dict[str, Any] = {"limit": 100, "before": None, "user": None, "start": None, "end": None}
    return "".join(image.id for image in await catalog.list_images(owner=owner, **every | filters))


async def test_lists_of_an_owner(catalog: Catalog, image: Make) -> None:
    for i, name in enumerate("abcdefghi"):
        fields = {"user": "u" if i % 2 else None, "name": "Ñ" if i > 5 else None, "create_time": i}
        await catalog.add_image(image(name, owner=["ana", "eva", ""][i % 3], digest=bytes([i % 2]), **fields))
    assert await ids(catalog, None) == "ihgfedcba"
    assert await ids(catalog, "ana") == "gda"
    assert await ids(catalog, "eva") == "heb"
    assert await ids(catalog, "nobody else") == await ids(catalog, "") == ""
    assert await ids(catalog, "ana", limit=1, before="g") == "d"
    assert await ids(catalog, "ana", user="u") == "d"
    assert await ids(catalog, "ana", start=1, end=4) == "d"
    assert await ids(catalog, "ana", name="ñ") == "g"
    assert await ids(catalog, "ana", digests=[bytes([0])]) == "ga"
    assert await ids(catalog, "ana", digests=[bytes([0])], name="ñ", user="u") == ""


async def test_counts_of_an_owner(catalog: Catalog, image: Make, upload: MakeUpload) -> None:
    for name, owner in (("a", "ana"), ("b", "ana"), ("c", "")):
        await catalog.add_image(image(name, owner=owner, size=5))
    await catalog.put_user("u", owner="ana", pow=1, image=image("d", owner="ana", size=7), now=1)
    await catalog.put_user("u", owner="", pow=1, image=None, now=1)
    await catalog.create_upload(upload("1", owner="ana"))
    await catalog.create_upload(upload("2", owner="ana", ticket="t"))
    assert await catalog.counts(owner="ana") == Counts(images=3, image_bytes=17, users=1, open_uploads=2)
    assert await catalog.counts() == Counts(images=4, image_bytes=22, users=2, open_uploads=2)
    assert await catalog.counts(owner="") == await catalog.counts(owner="eva")
    assert await catalog.usage("ana") == Usage(stored_bytes=17, stored_images=3, open_uploads=2)
    assert (await catalog.usage("ana", ticket="t")).open_uploads == 1
    assert await catalog.usage("") == await catalog.usage("eva") == Usage()
    await catalog.delete_image("a", now=1)
    await catalog.end_upload("1", state="CANCELLED", image=None, failure=None, now=1)
    assert await catalog.usage("ana") == Usage(stored_bytes=12, stored_images=2, open_uploads=1)


async def test_events_say_whose_the_image_is(catalog: Catalog, image: Make) -> None:
    await catalog.add_image(image("a", owner="ana"))
    await catalog.add_image(image("b"))
    await catalog.delete_image("a", now=1)
    events = await catalog.events(after=0, limit=9)
    assert [(event.kind, event.owner) for event in events] == [
        ("STORED", "ana"),
        ("STORED", ""),
        ("DELETED", "ana"),
    ]


async def add(catalog: Catalog, image: ImageRecord, charge: Charge) -> None:
    await catalog.add_image(image, charge=charge)


async def put(catalog: Catalog, image: ImageRecord, charge: Charge) -> None:
    await catalog.put_user("u", owner=image.owner, pow=None, image=image, now=1, charge=charge)


async def end(catalog: Catalog, image: ImageRecord, charge: Charge) -> None:
    upload = UploadRecord(
        id=image.id,
        request_id=image.id,
        state="OPEN",
        committed_size=1,
        declared_size=None,
        writer_epoch=1,
        client="",
        user=None,
        image_id=None,
        failure=None,
        create_time=1,
        update_time=1,
        owner=image.owner,
        ticket=charge.ticket,
    )
    await catalog.create_upload(upload)
    await catalog.end_upload(image.id, state="READY", image=image, failure=None, now=1, charge=charge)


WAYS = [add, put, end]


@pytest.mark.parametrize("store", WAYS)
async def test_limits_hold_and_nothing_is_written_beyond_them(
    catalog: Catalog, image: Make, store: Callable[..., Any]
) -> None:
    await catalog.add_image(image("x", owner="eva"))
    await store(catalog, image("a", owner="ana", size=5), TWO)
    await store(catalog, image("b", owner="ana", size=5), Charge(allowance=Allowance(stored_bytes=10)))
    newest = await catalog.event_range()
    with pytest.raises(QuotaExceeded) as images:
        await store(catalog, image("c", owner="ana"), TWO)
    assert images.value.facts == {"limit": 2, "actual": 3, "unit": "images"}
    with pytest.raises(QuotaExceeded) as size:
        await store(catalog, image("d", owner="ana"), Charge(allowance=Allowance(stored_bytes=10)))
    assert size.value.facts == {"limit": 10, "actual": 11, "unit": "bytes"}
    assert await catalog.event_range() == newest
    assert await ids(catalog, "ana") == "ba"
    await catalog.delete_image("a", now=1)
    await store(catalog, image("e", owner="ana"), TWO)


@pytest.mark.parametrize("store", WAYS)
async def test_a_ticket_is_spent_for_good(catalog: Catalog, image: Make, store: Callable[..., Any]) -> None:
    await store(catalog, image("a", owner="ana", size=6), TICKET)
    await catalog.delete_image("a", now=1)
    with pytest.raises(TicketUsedUp) as size:
        await store(catalog, image("b", owner="ana", size=5), TICKET)
    assert size.value.facts == {"limit": 10, "actual": 11, "unit": "bytes"}
    # Who sees everything may finish an upload of the ticket, which then counts without a limit.
    await store(catalog, image("c", owner="ana", size=50), Charge(allowance=Allowance(), ticket="t"))
    with pytest.raises(TicketUsedUp) as images:
        await store(catalog, image("d", owner="ana", size=0), TICKET)
    assert images.value.facts == {"limit": 2, "actual": 3, "unit": "images"}
    usage = await catalog.usage("ana", ticket="t")
    assert (usage.ticket_images, usage.ticket_bytes) == (2, 56)


async def test_limits_hold_for_calls_at_once_and_after_a_restart(
    new_catalog: Callable[[], CatalogBackend], image: Make
) -> None:
    charge = Charge(allowance=Allowance(stored_images=10, stored_bytes=100), ticket="t")
    for round in range(2):
        catalog = new_catalog()
        await catalog.open()
        names = [f"{round}{i:02}" for i in range(60)]
        works = [
            WAYS[i % 3](catalog, image(name, owner="ana", size=3), charge) for i, name in enumerate(names)
        ]
        # Images without limits are added in the same transactions.
        works += [catalog.add_image(image(f"free {name}")) for name in names]
        outcomes = await asyncio.gather(*works, return_exceptions=True)
        assert sum(outcome is None for outcome in outcomes) == 60 + (0 if round else 10)
        assert all(outcome is None or isinstance(outcome, ConexionesError) for outcome in outcomes)
        usage = await catalog.usage("ana", ticket="t")
        assert (usage.stored_images, usage.stored_bytes, usage.ticket_images) == (10, 30, 10)
        await catalog.close()


async def test_an_upload_that_has_ended_is_charged_once(
    catalog: Catalog, image: Make, upload: MakeUpload
) -> None:
    await end(catalog, image("a", owner="ana"), TICKET)
    for name in "bcd":
        again = await catalog.end_upload(
            "a", state="READY", image=image(name, owner="ana"), failure=None, now=1, charge=TICKET
        )
        assert again
        assert again.image_id == "a"
    assert (await catalog.usage("ana", ticket="t")).ticket_images == 1


async def test_uploads_that_may_be_open_with_a_ticket(catalog: Catalog, upload: MakeUpload) -> None:
    for i in range(2 + SPARE_UPLOADS):
        await catalog.create_upload(upload(f"{i}", owner="ana", ticket="t"), charge=TICKET)
    with pytest.raises(QuotaExceeded) as uploads:
        await catalog.create_upload(upload("x", owner="ana", ticket="t"), charge=TICKET)
    assert uploads.value.facts == {"limit": 2 + SPARE_UPLOADS, "actual": 3 + SPARE_UPLOADS, "unit": "uploads"}
    await catalog.create_upload(upload("x", owner="ana", ticket="u"), charge=replace(TICKET, ticket="u"))


async def test_uploads_that_may_be_open(catalog: Catalog, upload: MakeUpload) -> None:
    charge = Charge(allowance=Allowance(open_uploads=2, stored_bytes=100))
    first = await catalog.create_upload(upload("1", owner="ana"), charge=charge)
    await catalog.create_upload(upload("2", owner="ana", ticket="t", declared_size=100), charge=charge)
    await catalog.create_upload(upload("3", owner="eva"), charge=charge)
    with pytest.raises(QuotaExceeded) as uploads:
        await catalog.create_upload(upload("4", owner="ana"), charge=charge)
    assert uploads.value.facts == {"limit": 2, "actual": 3, "unit": "uploads"}
    assert await catalog.create_upload(upload("1", owner="ana"), charge=charge) == first
    await catalog.end_upload("1", state="CANCELLED", image=None, failure=None, now=1)
    with pytest.raises(QuotaExceeded) as size:
        await catalog.create_upload(upload("5", owner="ana", declared_size=101), charge=charge)
    assert size.value.facts == {"limit": 100, "actual": 101, "unit": "bytes"}
    outcomes = await asyncio.gather(
        *(catalog.create_upload(upload(f"6{i}", owner="ana"), charge=charge) for i in range(9)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 8
