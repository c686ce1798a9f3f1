"""What a database and a place for objects say of themselves, to `conexiones doctor`. Neither is changed."""

import secrets
import time

from conexiones.adapters.blobs.s3 import rows
from conexiones.adapters.blobs.s3.mark import is_marked
from conexiones.adapters.blobs.s3.objects import ObjectGone, Objects, said
from conexiones.adapters.blobs.s3.patience import Patience
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.catalog.postgres.address import Address, in_words
from conexiones.adapters.catalog.postgres.checks import Looked, ask, look
from conexiones.adapters.catalog.postgres.connections import Connection, connect
from conexiones.adapters.catalog.postgres.connections import Patience as DatabasePatience
from conexiones.adapters.catalog.postgres.migrating import newest, version
from conexiones.adapters.catalog.postgres.news import check_direct
from conexiones.errors import BlobCorrupt, ConexionesError
from conexiones.settings import Settings
from conexiones.stores.shared import place_of

__all__ = ["Looked", "look_at_blobs", "look_at_database", "look_at_direct", "look_at_mark"]


async def look_at_database(settings: Settings) -> Looked:
    """ValueError, whose sentence says what to do, if it cannot be used."""
    return await look(settings.database or "", pooled=bool(settings.database_direct))


async def look_at_direct(settings: Settings) -> None:
    """ValueError, as above, if `database_direct` is not the same database."""
    address, direct = Address(settings.database or "", pooled=True), Address(settings.database_direct or "")
    patience = DatabasePatience()
    with in_words(address):
        connection = await connect(address, seconds=patience.connect)
    try:
        await check_direct(connection, address, direct, patience)
    finally:
        connection.terminate()


async def look_at_blobs(settings: Settings) -> float:
    """Tries all that is asked of the store with an object, which is gone then; gives the seconds of the
    slowest request. ValueError, as above. Nothing is asked of the database, which may have no tables yet."""
    place, objects = _objects(settings)

    async def delete() -> None:
        if refused := await objects.delete([name]):
            raise ValueError(f"{place} does not delete an object (DELETE): {refused[name]}.")

    name, data, slowest = objects.name("packs"), secrets.token_bytes(1000), 0.0
    for what, request in (
        ("take an object (PUT)", lambda: objects.put(name, data)),
        ("give a part of an object (GET with a range)", lambda: objects.get(name, 100, 10)),
        ("say how large an object is (HEAD)", lambda: objects.size(name)),
        ("list objects (LIST)", lambda: anext(objects.listed("packs", name[:-1]))),
        ("delete an object (DELETE)", delete),
    ):
        begun = time.perf_counter()
        try:
            await request()
        except (ConexionesError, ObjectGone, BlobCorrupt, StopAsyncIteration) as error:
            raise ValueError(f"{place} does not {what}: {said(error)}.") from error
        slowest = max(slowest, time.perf_counter() - begun)
    return slowest


async def look_at_mark(settings: Settings) -> None:
    """ValueError, as above, if the objects at the place are not those that the database names. Of one with
    tables of an earlier version, that is not known."""
    place, objects = _objects(settings)

    async def asked(connection: Connection, _: Address) -> tuple[int, bool] | None:
        schema = await version(connection)
        if schema == newest():
            return await rows.known_identity(connection), await rows.names_objects(connection)
        return None if schema else (0, False)

    known = await ask(settings.database or "", asked, pooled=bool(settings.database_direct))
    if known is None:
        return
    identity, named = known
    try:
        await is_marked(objects, place, identity, named=named)
    except (ConexionesError, ObjectGone, BlobCorrupt) as error:
        raise ValueError(f"{place} cannot be used: {said(error)}.") from error


def _objects(settings: Settings) -> tuple[BlobPlace, Objects]:
    place = place_of(settings)
    objects = Objects(place, Patience())
    objects.learn_time(time.time())
    objects.open()
    return place, objects
