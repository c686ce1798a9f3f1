"""The primary dies, and its standby takes its place."""

import asyncio
from collections.abc import Callable

import pytest

from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.ports.records import ImageRecord
from tests.adapters.catalog.postgres.load import PATIENT, Load, check
from tests.support.postgres import with_standby


async def test_the_new_primary_has_all_that_was_acknowledged(image: Callable[..., ImageRecord]) -> None:
    with with_standby() as (primary, standby):
        with pytest.raises(ValueError, match="takes no writes: it is a standby"):
            await PostgresCatalog(standby.url()).open()
        hosts = f"postgresql://postgres@/postgres?host={primary.folder},{standby.folder}"
        catalog = PostgresCatalog(hosts, patience=PATIENT)
        await catalog.open()
        load = Load(catalog, image)
        await load.goes_on()
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(standby.promote)
        await load.goes_on()
        await load.end()
        await check(catalog, load)
        await catalog.close()
