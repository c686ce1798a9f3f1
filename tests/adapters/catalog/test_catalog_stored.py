"""What every Catalog promises of images that come with the request that stores them, and of news."""

import asyncio
from collections.abc import Callable

import pytest

from conexiones.errors import QuotaExceeded
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import Charge, ImageRecord, StoredBy, UploadRecord, Usage
from conexiones.principals import Allowance, Terms

Make = Callable[..., ImageRecord]
Upload = Callable[..., UploadRecord]

ONE = Charge(allowance=Allowance(stored_images=1), ticket="t", terms=Terms(images=5, bytes=100))


@pytest.mark.parametrize("charge", [None, ONE])
async def test_the_upload_of_a_stored_image(catalog: Catalog, image: Make, charge: Charge | None) -> None:
    one = image("1", size=7, user="u", name="n", owner="ana", create_time=5)
    by = StoredBy("x", "r", "client", "t")
    assert await catalog.add_stored(one, by, charge=charge) is None
    upload = UploadRecord(
        id="x",
        request_id="r",
        state="READY",
        committed_size=7,
        declared_size=7,
        writer_epoch=0,
        client="client",
        user="u",
        image_id="1",
        failure=None,
        create_time=5,
        update_time=5,
        name="n",
        owner="ana",
        ticket="t",
    )
    assert await catalog.get_upload("x") == upload
    assert await catalog.find_upload("r", owner="ana", ticket="t") == upload
    for owner, ticket in (("", "t"), ("ana", ""), ("eva", "t")):
        assert await catalog.find_upload("r", owner=owner, ticket=ticket) is None
    # Again: it is told what there is, whatever the limits say, and nothing is added.
    again = image("2", size=7, owner="ana")
    assert await catalog.add_stored(again, StoredBy("y", "r", "", "t"), charge=charge) == upload
    assert await catalog.get_image("2") is None
    assert await catalog.get_upload("y") is None
    assert (await catalog.event_range())[1] == 1
    spent = (1, 7) if charge else (0, 0)
    found = await catalog.usage("ana", ticket="t")
    assert found == Usage(
        stored_bytes=7, stored_images=1, ticket_images=spent[0], ticket_bytes=spent[1], open_uploads=0
    )
    if charge:
        with pytest.raises(QuotaExceeded):
            await catalog.add_stored(again, StoredBy("y", "another", "", "t"), charge=charge)
        assert await catalog.get_upload("y") is None


async def test_of_many_at_once_each_request_stores_one(catalog: Catalog, image: Make, upload: Upload) -> None:
    """Among other writes, of which none is lost."""
    await catalog.create_upload(upload("open", request_id="r0"))
    writes = [
        catalog.add_stored(image(f"{number:03}"), StoredBy(f"u{number}", f"r{number % 50}", "", ""))
        for number in range(200)
    ]
    others = [catalog.add_image(image(f"z{number}")) for number in range(20)]
    found, _ = await asyncio.gather(asyncio.gather(*writes), asyncio.gather(*others))
    added = [number for number, before in enumerate(found) if before is None]
    assert sorted(number % 50 for number in added) == list(range(1, 50))
    for number, before in enumerate(found):
        if before is not None:
            assert before.request_id == f"r{number % 50}"
            assert before.id == "open" if number % 50 == 0 else before.state == "READY"
    assert (await catalog.counts()).images == len(added) + len(others)
    assert (await catalog.event_range())[1] == len(added) + len(others)


async def test_some_are_forgotten_at_a_time(catalog: Catalog, image: Make) -> None:
    for number in range(5):
        await catalog.add_stored(
            image(f"{number}", create_time=number), StoredBy(f"{number}", f"{number}", "", "")
        )
    assert [await catalog.forget_uploads(ended_before=4, limit=3) for _ in range(3)] == [3, 1, 0]
    assert await catalog.find_upload("3", owner="", ticket="") is None
    assert await catalog.find_upload("4", owner="", ticket="") is not None
    assert (await catalog.counts()).images == 5


async def test_news_are_events_with_their_images(catalog: Catalog, image: Make) -> None:
    await catalog.add_image(image("1", name="Ñ", user="u"))
    await catalog.add_image(image("2", owner="ana"))
    await catalog.delete_image("1", now=3)
    events = await catalog.events(after=0, limit=9)
    assert await catalog.news(after=0, limit=9) == list(
        zip(events, [None, image("2", owner="ana"), None], strict=True)
    )
    assert await catalog.news(after=1, limit=1) == [(events[1], image("2", owner="ana"))]
    assert await catalog.news(after=3, limit=9) == []
