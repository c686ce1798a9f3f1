"""What has happened to images: read once from the catalog for all who watch, and kept for a moment."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from conexiones.errors import ConexionesError
from conexiones.ports.catalog import Catalog, Descriptions
from conexiones.ports.records import EventRecord, Facts, ImageRecord
from conexiones.shares import SERVER, act_for

Kind = Literal["EVENTS", "HEARTBEAT", "RESYNC"]

BATCH = 32
"""Events that are read at a time. A watcher that does not read keeps so many of them in memory."""

_KEPT = 16
"""The newest news that are in memory. Whoever is further behind reads for itself."""

_VIEWS = 16
"""Different views of the same news that are shared. Beyond them each watcher has its own."""

LEAST_PAUSE, MOST_PAUSE = 0.01, 0.1
PAUSE_EACH = 0.0002
"""Seconds between the beginnings of two readings, at least and at most, and for each watcher: telling one of
news takes about half of that. So events that come fast are told together, and watchers leave at least half of
the time to others, unless they are very many. What comes after a pause is read at once."""


@dataclass(frozen=True, slots=True)
class View:
    """The events that a watcher hears of: of a user's images, and of an owner's; None for those of all."""

    user: str | None = None
    owner: str | None = None

    def has(self, event: EventRecord) -> bool:
        if self.owner is not None and (not event.owner or event.owner != self.owner):
            return False
        return self.user is None or event.user == self.user


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """What happened to an image. STORED and DESCRIBED come with the image, and with its facts if they were
    known when this was read."""

    record: EventRecord
    image: ImageRecord | None
    facts: Facts | None


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class News:
    """The events behind that of the sequence `after` until that of `until`, as far as a watcher hears of
    them. The same view of the same events is one object for all watchers who need them all.

    HEARTBEAT and RESYNC have no events. RESYNC says that events were missed, and that the watcher has to list
    the images anew.
    """

    after: int
    until: int
    events: tuple[Event, ...] = ()
    kind: Kind = "EVENTS"
    _views: "dict[View, News]" = field(default_factory=dict)

    @property
    def token(self) -> str:
        """Resumes after these news."""
        return str(self.until)

    def seen(self, view: View, *, after: int) -> "News":
        """What is new to a watcher that has heard of everything until `after`."""
        if after != self.after:
            return self._of(view, after)
        found = self._views.get(view)
        if found is None:
            found = self._of(view, after)
            if len(self._views) < _VIEWS:
                self._views[view] = found
        return found

    def _of(self, view: View, after: int) -> "News":
        events = (event for event in self.events if event.record.sequence > after and view.has(event.record))
        return News(after, self.until, tuple(events))


class Feed:
    """The newest news, which are read when the first watcher asks for them. Belongs to one event loop."""

    def __init__(self, catalog: Catalog, descriptions: Descriptions) -> None:
        self._catalog = catalog
        self._descriptions = descriptions
        self._watchers = 0
        self._news: deque[News] = deque(maxlen=_KEPT)  # without gaps between them
        self._until = 0  # the sequence of the newest event in them, or behind which the next ones begin
        self._reading: asyncio.Task[None] | None = None
        self._begun = 0.0
        self._more = False  # whether the last reading was full

    @contextmanager
    def watched(self) -> Iterator[None]:
        """The context of a watcher."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._news.clear()

    async def after(self, at: int) -> News | None:
        """The news for those who have heard of everything until `at`, when something was committed after it.
        None if they are not in memory: `read` has them."""
        while (found := self._find(at)) is None and at >= self._until:
            if self._reading is None or self._reading.done():
                if not self._news or at - self._until > BATCH * _KEPT:  # nobody has watched for a while
                    self._news.clear()
                    self._until = at
                self._reading = asyncio.create_task(self._read_next())
            before = self._until
            await asyncio.shield(self._reading)
            if self._until == before:
                return None
        return found

    async def read(self, after: int) -> News | None:
        """Reads the events after that one from the catalog, at most BATCH; None if there is none. Those that
        are not kept any more are not in it. An image that has been deleted since has no event but that."""
        found = await self._catalog.news(after=after, limit=BATCH)
        if not found:
            return None
        digests = {image.digest for _, image in found if image}
        facts = await self._descriptions.facts(digests) if digests else {}
        events = (
            Event(record, image, facts.get(image.digest) if image else None)
            for record, image in found
            if image or record.kind == "DELETED"
        )
        first, last = found[0][0].sequence, found[-1][0].sequence
        return News(first - 1, last, tuple(events))

    def _find(self, at: int) -> News | None:
        return next((news for news in reversed(self._news) if news.after <= at < news.until), None)

    async def _read_next(self) -> None:
        act_for(SERVER)
        loop = asyncio.get_running_loop()
        pause = max(LEAST_PAUSE, min(MOST_PAUSE, self._watchers * PAUSE_EACH))
        if not self._more and (wait := self._begun + pause - loop.time()) > 0:
            await asyncio.sleep(wait)
        self._begun = loop.time()
        after = self._until
        news = None
        with suppress(ConexionesError):  # each watcher finds that out for itself
            news = await self.read(after)
        if news and news.after == after == self._until:
            self._news.append(news)
            self._until = news.until
        self._more = news is not None and news.until - news.after == BATCH
