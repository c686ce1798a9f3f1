"""The rules of watching: what a client hears of images as they come, are described and go."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from conexiones import errors
from conexiones.domain.gallery import owner_seen
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import EventKind, EventRecord, ImageRecord
from conexiones.principals import Principal
from conexiones.shares import Turns

HEARTBEAT_SECONDS = 20.0
"""The longest time in which a watcher hears nothing."""

KEEP_EVENTS = 100_000
"""The number of past events from which a watcher can resume."""

_BATCH = 100
"""Events that are in memory at a time, with their images, for each watcher."""

_READING, _READING_EACH = 4, 2
"""Watchers that read events at a time, of all clients and of each: with every event, all of them want to."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a watcher is told: STORED and DESCRIBED come with the image, DELETED with its id.

    RESYNC says that events were missed, and that the watcher has to list the images anew. `token` resumes
    after this event.
    """

    kind: EventKind | Literal["HEARTBEAT", "RESYNC"]
    token: str
    image: ImageRecord | None = None
    deleted_id: str = ""


class Watching:
    """Follows the catalog's events for any number of watchers, each of which reads them by itself.

    Draining concerns the watchers of this process only. The events themselves are the catalog's, so a watcher
    can resume at another process with the same catalog.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._draining = False
        self._reading = Turns(_READING, each=_READING_EACH)

    def drain(self) -> None:
        """Says that the catalog is about to close, upon which watchers end with ServerDraining."""
        self._draining = True

    async def watch(
        self, *, token: str, user: str | None, owner: str | None = None, by: Principal
    ) -> AsyncIterator[Event]:
        """The events from now on, or those after the event of that token, of the images that the caller sees;
        of one user's, or of those of all.

        Tokens are numbers of events: they tell how many there were, whoever's they are, and nothing else. It
        never ends by itself. Raises ServerDraining at the end of the server, and InvalidField.
        """
        clock = asyncio.get_running_loop().time
        wanted = _Wanted(user, owner_seen(by, owner))
        oldest, newest = await self._catalog.event_range()
        at = newest
        if token:
            at = _sequence(token)
            if not oldest <= at <= newest:
                at = newest
                yield Event("RESYNC", str(at))
        yield Event("HEARTBEAT", str(at))
        heard = clock()
        while True:
            # Events of others do not put the heartbeat off.
            if not await self._changed(at, until=heard + HEARTBEAT_SECONDS):
                yield Event("HEARTBEAT", str(at))
                heard = clock()
                continue
            async with self._reading:
                at, news = await self._read(at, wanted)
            for event in news:
                yield event
            if news:
                heard = clock()

    async def _read(self, at: int, wanted: "_Wanted") -> tuple[int, list[Event]]:
        """The next events for a watcher that has seen those until `at`, and until which they are."""
        oldest, newest = await self._catalog.event_range()
        if at < oldest:
            # The watcher is so slow that the catalog has forgotten events which it has not seen.
            return newest, [Event("RESYNC", str(newest))]
        found: list[Event] = []
        for event in await self._catalog.events(after=at, limit=_BATCH):
            at = event.sequence
            if not wanted.has(event):
                continue
            if event.kind == "DELETED":
                found.append(Event("DELETED", str(at), deleted_id=event.image_id))
            elif image := await self._catalog.get_image(event.image_id):
                found.append(Event(event.kind, str(at), image=image))
            # Without the image, the event of its deletion follows.
        return at, found

    async def _changed(self, at: int, *, until: float) -> bool:
        """Waits for an event after that one; False if it is time for a heartbeat. Raises ServerDraining."""
        if asyncio.get_running_loop().time() >= until:
            return False
        try:
            async with asyncio.timeout_at(until):
                await self._catalog.changed(at)
        except TimeoutError:
            return False
        except errors.StorageUnavailable:
            if self._draining:
                raise errors.ServerDraining from None
            raise
        return True

    async def sweep(self) -> None:
        """Forgets old events. Call it at intervals."""
        await self._catalog.forget_events(keep=KEEP_EVENTS)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The events that a watcher hears of: of a user's images, and of an owner's; None for those of all."""

    user: str | None
    owner: str | None

    def has(self, event: EventRecord) -> bool:
        if self.owner is not None and (not event.owner or event.owner != self.owner):
            return False
        return self.user is None or event.user == self.user


def _sequence(token: str) -> int:
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        raise errors.InvalidField(field="resume_token", takes="the token of an event")
    return int(token)
