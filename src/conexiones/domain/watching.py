"""The rules of watching: what a client hears of images as they come, are described and go."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from conexiones import errors
from conexiones.domain.gallery import owner_seen
from conexiones.domain.news import Feed, Kind, News, View
from conexiones.metrics import Metrics
from conexiones.ports.catalog import Catalog, Descriptions
from conexiones.principals import Principal
from conexiones.shares import Turns
from conexiones.waits import observe_places

HEARTBEAT_SECONDS = 20.0
"""The longest time in which a watcher hears nothing."""

KEEP_EVENTS = 100_000
"""The number of past events from which a watcher can resume."""

_READING, _READING_EACH = 4, 2
"""Watchers that read events for themselves at a time, of all clients and of each."""


class Watching:
    """Follows the catalog's events for any number of watchers. Those that keep up hear what is read once for
    all of them (news.py); the others read by themselves.

    Draining concerns the watchers of this process only. The events themselves are the catalog's, so a watcher
    can resume at another process with the same catalog.
    """

    def __init__(
        self, catalog: Catalog, descriptions: Descriptions, *, metrics: Metrics | None = None
    ) -> None:
        self._catalog = catalog
        self._feed = Feed(catalog, descriptions)
        self._draining = False
        self._reading = Turns(_READING, each=_READING_EACH)
        self._heard: dict[object, int] = {}  # by watcher: the sequence until which it has heard of everything
        metrics = metrics or Metrics()
        observe_places(metrics, "watch_reads", self._reading)
        self._resyncs = metrics.counter(
            "conexiones.watch.resyncs", "{resync}", "Times that a watcher was told that it has missed events."
        )

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._heard)

    def behind(self, newest: int) -> int:
        """Events until the newest one of which some watcher has not heard."""
        return max(0, newest - min(self._heard.values(), default=newest))

    def drain(self) -> None:
        """Says that the catalog is about to close, upon which watchers end with ServerDraining."""
        self._draining = True

    async def watch(
        self, *, token: str, user: str | None, owner: str | None = None, by: Principal
    ) -> AsyncGenerator[News, None]:
        """The events from now on, or those after the event of that token, of the images that the caller sees;
        of one user's, or of those of all.

        Tokens are numbers of events: they tell how many there were, whoever's they are, and nothing else. It
        never ends by itself. Raises ServerDraining at the end of the server, and InvalidField.
        """
        clock = asyncio.get_running_loop().time
        view = View(user, owner_seen(by, owner))
        oldest, newest = await self._catalog.event_range()
        at = newest
        if token:
            at = _sequence(token)
            if not oldest <= at <= newest:
                at = newest
                self._resyncs.value += 1
                yield _without_events("RESYNC", at)
        yield _without_events("HEARTBEAT", at)
        heard = clock()
        with self._feed.watched(), self._watcher(at) as watcher:
            while True:
                # Events of others do not put the heartbeat off.
                if not await self._changed(at, until=heard + HEARTBEAT_SECONDS):
                    yield _without_events("HEARTBEAT", at)
                    heard = clock()
                    continue
                news = await self._next(at, view)
                at = self._heard[watcher] = news.until
                if news.events or news.kind == "RESYNC":
                    yield news
                    heard = clock()

    @contextmanager
    def _watcher(self, at: int) -> Iterator[object]:
        watcher = object()
        self._heard[watcher] = at
        try:
            yield watcher
        finally:
            del self._heard[watcher]

    async def _next(self, at: int, view: View) -> News:
        """The next news for a watcher that has heard of everything until `at`."""
        news = await self._feed.after(at)
        if news is None:
            async with self._reading:
                oldest, newest = await self._catalog.event_range()
                news = await self._feed.read(at) if at >= oldest else None
                if at < oldest or (news is not None and news.after > at):
                    # The watcher is so slow that the catalog has forgotten events which it has not heard of,
                    # perhaps just now.
                    self._resyncs.value += 1
                    return _without_events("RESYNC", newest)
        return news.seen(view, after=at) if news else _without_events("EVENTS", at)

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


def _without_events(kind: Kind, at: int) -> News:
    return News(at, at, kind=kind)


def _sequence(token: str) -> int:
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        raise errors.InvalidField(field="resume_token", takes="the token of an event")
    return int(token)
