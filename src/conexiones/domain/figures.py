"""How much the catalog holds, and how far behind watchers are, as metrics."""

import asyncio
import time
from functools import partial

from conexiones.domain.watching import Watching
from conexiones.errors import ConexionesError
from conexiones.metrics import Labels, Metrics
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import Counts

COUNT_SECONDS = 5.0
"""Time between two counts, at least."""

COUNT_FACTOR = 100
"""It is at least this many times as long as counting took, which is longer the more is stored."""


class Figures:
    """Counted once at the start, and then at intervals while somebody reads the metrics."""

    def __init__(self, catalog: Catalog, watching: Watching, *, metrics: Metrics) -> None:
        self._catalog = catalog
        self._counts: Counts | None = None
        self._newest = 0
        self._looked_at = asyncio.Event()
        for name, unit, description, field in (
            ("images", "{image}", "Images that are stored.", "images"),
            ("images.size", "By", "Bytes of all images that are stored.", "image_bytes"),
            ("users", "{user}", "Users that are registered.", "users"),
            ("uploads.open", "{upload}", "Resumable uploads that are open.", "open_uploads"),
        ):
            metrics.observe(f"conexiones.{name}", unit, description, partial(self._counted, field))
        metrics.observe(
            "conexiones.watchers", "{watcher}", "Calls of WatchImages.", lambda: watching.watchers
        )
        metrics.observe(
            "conexiones.watch.behind",
            "{event}",
            "Events of which the watcher that is furthest behind has not heard.",
            lambda: watching.behind(self._newest),
        )

    async def run(self) -> None:
        """Counts, until it is cancelled."""
        while True:
            begun = time.monotonic()
            try:
                counts = await self._catalog.counts()
                _, self._newest = await self._catalog.event_range()
                self._counts = counts
            except ConexionesError:
                self._counts = None  # no figure is better than an old one
            took = time.monotonic() - begun
            await asyncio.sleep(max(COUNT_SECONDS, COUNT_FACTOR * took))
            self._looked_at.clear()
            await self._looked_at.wait()

    def _counted(self, field: str) -> dict[Labels, float]:
        self._looked_at.set()
        return {} if self._counts is None else {(): getattr(self._counts, field)}
