"""Checks the database and the place for objects that servers share."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from conexiones.stores.look import Looked

from conexiones.doctor.findings import Finding
from conexiones.settings import Settings, without_password

T = TypeVar("T")

_SKEW_SECONDS = 1.0
"""Clocks that differ by more are a warning: ids, and the order of lists, are by them."""

_SLOW_SECONDS = 0.02
"""A database that takes longer to answer is a warning: each call asks it several times."""

_SLOW_BLOBS_SECONDS = 0.5
_CONNECTIONS = 10
"""Connections of a server at most."""


def check_shared(settings: Settings) -> Iterator[Finding]:
    """A finding for each part, with the settings of a server here."""
    from conexiones.transport.process.start_error import StartError
    from conexiones.transport.process.storage import check_storage

    try:
        check_storage(settings)
    except StartError as error:
        yield Finding("storage", "FAIL", str(error), "docs/scale.md explains which settings go together.")
        return
    if settings.database:
        findings = list(_database(settings))
        yield from findings
        yield from _blobs(settings, can_ask=all(one.state != "FAIL" for one in findings))


def _database(settings: Settings) -> Iterator[Finding]:
    from conexiones.stores.look import look_at_database, look_at_direct

    looked = _asked(lambda: look_at_database(settings))
    if isinstance(looked, str):
        yield Finding("database", "FAIL", looked, "docs/scale.md says what the database has to be like.")
        return
    name = without_password(settings.database or "")
    has = f"schema {looked.schema} of {looked.newest}" if looked.schema else "no tables yet"
    says = f"{name} is PostgreSQL {looked.version}, with {has}, synchronous_commit {looked.commit}"
    if looked.off:
        yield Finding(
            "database",
            "warn",
            f"{says}, {' = off, '.join(looked.off)} = off",
            "Turn it on: a power failure may lose everything in it.",
        )
    elif looked.connections < 2 * _CONNECTIONS:
        yield Finding(
            "database",
            "warn",
            f"{says}, max_connections {looked.connections}",
            f"Set max_connections to at least {_CONNECTIONS} for each server, and some more.",
        )
    else:
        yield Finding("database", "ok", says)
    yield _rights(looked)
    yield from _speed(looked)
    if settings.database_direct:
        direct = _asked(lambda: look_at_direct(settings))
        if isinstance(direct, str):
            yield Finding(
                "direct", "FAIL", direct, "Correct --database-direct, or leave it out if no pooler is there."
            )
        else:
            yield Finding(
                "direct", "ok", f"{without_password(settings.database_direct)} tells of what is committed"
            )


def _rights(looked: "Looked") -> Finding:
    if looked.forbidden:
        tables = ", ".join(looked.forbidden)
        return Finding(
            "rights",
            "FAIL",
            f"the user may not read and write {tables}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA … TO its user.",
        )
    if looked.schema < looked.newest and not looked.creates:
        return Finding(
            "rights",
            "FAIL",
            "the user may make no tables, and there are not all that are needed",
            "GRANT CREATE ON SCHEMA … TO its user, or start a server once with the owner.",
        )
    return Finding("rights", "ok", "the user may do what a server needs")


def _speed(looked: "Looked") -> Iterator[Finding]:
    took = f"the database answers in {looked.latency * 1000:.1f} ms"
    if looked.latency > _SLOW_SECONDS:
        yield Finding("db speed", "warn", took, "Run the servers where the database is.")
    else:
        yield Finding("db speed", "ok", took)
    skew = f"the database's clock is {abs(looked.ahead):.2f} s {'ahead' if looked.ahead > 0 else 'behind'}"
    if abs(looked.ahead) > _SKEW_SECONDS:
        yield Finding(
            "db clock",
            "warn",
            skew,
            "Have both set by NTP: images that come at two servers are listed by these clocks.",
        )
    else:
        yield Finding("db clock", "ok", skew)


def _blobs(settings: Settings, *, can_ask: bool) -> Iterator[Finding]:
    """With `can_ask`, the database can be asked."""
    from conexiones.stores.look import look_at_blobs, look_at_mark

    checked = _asked(lambda: look_at_blobs(settings))
    if isinstance(checked, str):
        mend = "docs/scale.md says what is asked of the object store, and where credentials come from."
        yield Finding("blobs", "FAIL", checked, mend)
        return
    if can_ask and isinstance(wrong := _asked(lambda: look_at_mark(settings)), str):
        yield Finding("blobs", "FAIL", wrong, "No server starts with both.")
        return
    says = (
        f"{settings.blobs} takes, gives, lists and deletes objects, in {checked * 1000:.0f} ms each at most"
    )
    if checked > _SLOW_BLOBS_SECONDS:
        yield Finding("blobs", "warn", says, "Every image that is stored waits for this once at least.")
    else:
        yield Finding("blobs", "ok", says)


def _asked(ask: Callable[[], Awaitable[T]]) -> "T | str":
    """What comes of asking, or the sentence that says why nothing does."""

    async def run() -> T:
        return await ask()

    try:
        return asyncio.run(run())
    except ValueError as error:
        return str(error)
