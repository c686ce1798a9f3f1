"""What every Catalog promises of lists by name and by digest."""

from collections.abc import Callable
from typing import Any

import pytest

from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord

Make = Callable[..., ImageRecord]


async def ids(catalog: Catalog, limit: int = 100, before: str | None = None, **filters: Any) -> str:
    every: dict[str, Any] = {"user": None, "start": None, "end": None} | filters
    return "".join(image.id for image in await catalog.list_images(limit=limit, before=before, **every))


async def test_a_name_is_kept_as_it_was_given(catalog: Catalog, image: Make) -> None:
    for id, name in {"a": "Ma\u0301laga 1%.jpg", "b": None}.items():
        await catalog.add_image(image(id, name=name))
        stored = await catalog.get_image(id)
        assert stored is not None
        assert stored.name == name


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("málaga", "ba"),  # however the accent is composed
        ("MÁLAGA", "ba"),
        ("malaga", ""),
        ("ma", ""),  # no part of a letter with its accent
        ("ß", "dc"),
        ("STRASSE", "dc"),
        ("ΣΊΣΥΦΟΣ", "e"),
        ("σίσυφος", "e"),
        ("k", "ge"),  # the Kelvin sign is a K
        ("_", "f"),
        ("%", "g"),
        ("*", ""),
        (".PNG", "hgfedcb"),
        ("a'); --", "h"),
        ("\U0001f9a4", "i"),
        ("x" * 255, ""),
    ],
)
async def test_lists_are_filtered_by_name_in_whatever_case(
    catalog: Catalog, image: Make, part: str, found: str
) -> None:
    names = {
        "a": "Málaga.jpg",
        "b": "MA\u0301LAGA.PNG",
        "c": "Straße.png",
        "d": "STRASSE.png",
        "e": "Σίσυφος K.png",
        "f": "my_scan.png",
        "g": "100 %\u212a.png",
        "h": "a'); --.png",
        "i": "\U0001f9a4",
        "j": None,
    }
    for id, name in names.items():
        await catalog.add_image(image(id, name=name))
    assert await ids(catalog, name=part) == found


async def test_filters_go_together(catalog: Catalog, image: Make) -> None:
    digests = [bytes([number]) * 32 for number in range(8)]
    for number, id in enumerate("abcdefgh"):
        user = "ana" if number % 2 else None
        name = f"{id}.{'jpg' if number < 4 else 'JPG'}"
        await catalog.add_image(
            image(id, digest=digests[number // 2], user=user, name=name, create_time=number)
        )
    assert await ids(catalog, digests=digests[:2]) == "dcba"
    assert await ids(catalog, digests=[digests[2], digests[2], digests[7]]) == "fe"
    assert await ids(catalog, digests=[digests[7]]) == ""
    assert await ids(catalog, 3, digests=digests) == "hgf"
    assert await ids(catalog, 3, "f", digests=digests) == "edc"
    assert await ids(catalog, name=".jpg", user="ana") == "hfdb"
    assert await ids(catalog, name=".jpg", user="ana", start=2, end=6) == "fd"
    assert await ids(catalog, name="d", digests=digests[:2], user="ana", start=1, end=9) == "d"
    assert await ids(catalog, digests=[number.to_bytes(32) for number in range(1, 1001)]) == ""
