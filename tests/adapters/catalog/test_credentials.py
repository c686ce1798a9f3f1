"""What every Credentials promises."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from conexiones.errors import StorageUnavailable
from conexiones.ports.access import Credential, Credentials, LinkKey
from conexiones.principals import Allowance, Terms

TOKEN = Credential(
    id="t1",
    kind="token",
    digest=b"\x01" * 32,
    name="Ñandú \0",
    owner="token:a",
    scopes=frozenset({"read", "write"}),
    own=True,
    create_time=5,
    allowance=Allowance(stored_images=7, calls_per_second=0.5),
)
TICKET = replace(
    TOKEN,
    id="k1",
    kind="ticket",
    digest=b"\x02" * 32,
    own=False,
    scopes=frozenset(),
    create_time=6,
    expire_time=2**60,
    parent="t1",
    terms=Terms(bytes=2**40, images=3, formats=frozenset({"PNG", "JPEG"})),
)


async def test_credentials_come_back_as_they_were_oldest_first(credentials: Credentials) -> None:
    assert await credentials.all() == []
    await asyncio.gather(credentials.add(TICKET), credentials.add(TOKEN))
    assert await credentials.all() == [TOKEN, TICKET]
    with pytest.raises(StorageUnavailable):
        await credentials.add(replace(TOKEN, id="t2"))  # a secret is that of one credential
    assert await credentials.all() == [TOKEN, TICKET]


async def test_revoking_ends_what_was_made_with_it_once(credentials: Credentials) -> None:
    for one in (TOKEN, TICKET, replace(TOKEN, id="t2", digest=b"\x03" * 32, create_time=7)):
        await credentials.add(one)
    await credentials.revoke("k1", now=8)
    await credentials.revoke("t1", now=9)
    await credentials.revoke("t1", now=10)
    assert [(one.id, one.revoke_time) for one in await credentials.all()] == [
        ("t1", 9),
        ("k1", 8),
        ("t2", None),
    ]


async def test_their_last_use_is_kept(credentials: Credentials) -> None:
    for one in (TOKEN, TICKET):
        await credentials.add(one)
    await credentials.used({"t1": 3600, "k1": 7200, "gone": 1})
    await credentials.used({})
    assert [one.use_time for one in await credentials.all()] == [3600, 7200]


ENDS: list[dict[str, Any]] = [{"expire_time": 10}, {"revoke_time": 10}, {"expire_time": None}]


async def test_what_has_ended_is_forgotten(credentials: Credentials) -> None:
    for at, one in enumerate((TOKEN, TICKET)):
        for lap, times in enumerate(ENDS):
            number = 3 * at + lap
            await credentials.add(replace(one, id=f"{number}", digest=bytes([number]), **times))
    await credentials.forget(tokens=10, others=10)
    assert len(await credentials.all()) == 6
    await credentials.forget(tokens=10, others=11)
    assert [one.id for one in await credentials.all()] == ["0", "1", "2", "5"]
    await credentials.forget(tokens=11, others=11)
    assert [one.id for one in await credentials.all()] == ["2", "5"]


async def test_keys_of_links(credentials: Credentials) -> None:
    keys = [LinkKey(id=f"{number}", secret=bytes([number]) * 32, create_time=number) for number in range(3)]
    for key in reversed(keys):
        await credentials.add_key(key)
    assert await credentials.keys() == keys
    await credentials.forget_keys(created_before=1)
    assert await credentials.keys() == keys[1:]
