"""What nothing refers to is removed: rows first, objects later, by one server at a time.

    blobs that are dead for long         their rows go, and their objects become loose
    extents of uploads that have ended   the same
    loose objects                        go if no row names them; packs that are mostly holes are compacted
    objects that never had a row         go once none can come any more; each object is looked at once

Every step can be done again, and a sweep that is killed leaves what was not done to the next one. An object
that the store refuses to delete is tried again much later, and is in the way of no other. The time is that of
the database.
"""

import logging
import secrets

from conexiones.adapters.blobs.s3 import rows, sweep_rows
from conexiones.adapters.blobs.s3.backend import Backend
from conexiones.adapters.blobs.s3.compacting import compact
from conexiones.adapters.blobs.s3.objects import KINDS, Kind, born, grace_of, kind_of
from conexiones.adapters.blobs.s3.sweep_rows import Sweep
from conexiones.metrics import Labels, Metrics

SECONDS = 120.0
"""How long nobody else sweeps after each step of one, should it not go on."""

BURIED = 100
"""Dead blobs whose rows are removed in one transaction."""

LOOKED_AT = 500
"""Loose objects that are looked at together."""

SPARSE = 0.5
"""A pack of which less than this is needed is compacted."""

log = logging.getLogger(__name__)


class Sweeper:
    """Belongs to one event loop."""

    def __init__(self, backend: Backend, metrics: Metrics) -> None:
        self._backend = backend
        self._name = secrets.token_hex(16)
        self._garbage = metrics.counter(
            "conexiones.objects.garbage",
            "{object}",
            "Objects that were removed since no row ever named them: of servers that were killed, or of"
            " requests whose outcome was unknown.",
        )
        self._removed = metrics.counter(
            "conexiones.objects.removed", "{object}", "Objects that this server has removed, whyever."
        )
        self._compacted = metrics.counter(
            "conexiones.objects.compacted",
            "{object}",
            "Packs that were mostly holes, of which this server has put what is needed into new ones.",
        )
        self._waiting: dict[Labels, float] = {}
        self._finished = 0.0  # in seconds since the epoch, by the database's clock
        metrics.observe(
            "conexiones.garbage.waiting",
            "{item}",
            "What is to be removed when its time has come: blobs that no image has, and objects that are to"
            f" be looked at; up to {sweep_rows.COUNTED}. Told by the server that sweeps.",
            lambda: self._waiting,
            ("kind",),
        )
        metrics.observe(
            "conexiones.sweep.last_finished",
            "s",
            "When this server finished a sweep last, in seconds since 1970; 0 if it never did.",
            lambda: self._finished,
        )

    async def sweep(self) -> bool:
        """False if another one sweeps. Raises StorageUnavailable, with the rest left to the next sweep."""
        if await self._go_on() is None:
            self._waiting = {}
            return False
        await self._bury()
        await self._end_uploads()
        await self._look_at_loose()
        for kind in KINDS:
            await self._look_for_garbage(kind)
        waiting = await self._backend.catalog.read(sweep_rows.waiting)
        self._waiting = {(kind,): number for kind, number in waiting.items()}
        if (sweep := await self._go_on()) is not None:
            self._finished = sweep.now
        await self._backend.catalog.write((), sweep_rows.end_sweep, self._name)
        return True

    async def _go_on(self) -> Sweep | None:
        sweep = await self._backend.catalog.write((), sweep_rows.begin_sweep, self._name, SECONDS)
        if sweep is not None:
            self._backend.objects.learn_time(sweep.now)
        return sweep

    async def _bury(self) -> None:
        catalog, grace = self._backend.catalog, self._backend.graces.dead
        while digests := await catalog.read(sweep_rows.dead_blobs, grace, BURIED):
            # Nobody adds an image that has one of them meanwhile.
            await catalog.write([rows.lock_of(digest) for digest in digests], sweep_rows.bury, digests, grace)
            if await self._go_on() is None:
                return

    async def _end_uploads(self) -> None:
        catalog, moved = self._backend.catalog, self._backend.graces.moved
        while uploads := await catalog.read(sweep_rows.stray_uploads, BURIED):
            for upload in uploads:
                locks = [rows.lock_of_upload(upload)]
                await catalog.write(locks, sweep_rows.drop_stray, upload, moved)
            if await self._go_on() is None:
                return

    async def _look_at_loose(self) -> None:
        catalog, graces = self._backend.catalog, self._backend.graces
        sparse: dict[str, int] = {}
        begin = await self._go_on()
        while begin and (loose := await catalog.read(sweep_rows.loose_objects, begin.now, LOOKED_AT)):
            needed = await catalog.read(sweep_rows.needed, loose)
            gone = [name for name in loose if name not in needed]
            # A row that names such a pack may still come, of a blob that was put into it with others.
            later = {name for name in gone if kind_of(name) == "packs" and not self._is_over(name, begin)}
            refused = await self._remove([name for name in gone if name not in later])
            packs = [name for name in needed if kind_of(name) == "packs"]
            found = {name: needed[name] for name in packs if await self._is_sparse(name, needed[name])}
            later |= {name for name in packs if not self._is_over(name, begin)} | found.keys()
            sparse |= {name: size for name, size in found.items() if self._is_over(name, begin)}
            seen = {name: loose[name] for name in later}
            await catalog.write((), sweep_rows.look_again, seen, graces.moved)
            await catalog.write((), sweep_rows.look_again, {n: loose[n] for n in refused}, graces.refused)
            later |= refused
            await catalog.write((), sweep_rows.tighten, {n: at for n, at in loose.items() if n not in later})
            if await self._go_on() is None:
                return
        if sparse:
            self._compacted.value += await compact(self._backend, sparse, self._go_on)

    async def _remove(self, names: list[str]) -> set[str]:
        """Gives those that the store refuses to delete, of which the log tells."""
        refused = await self._backend.objects.delete(names) if names else {}
        self._removed.value += len(names) - len(refused)
        if refused:
            name, why = next(iter(refused.items()))
            log.warning(
                "The object store refuses to delete %d objects that nothing needs, such as %s (%s). They are"
                " tried again in %d hours: look for a legal hold, a retention or a policy on them",
                len(refused),
                name,
                why,
                self._backend.graces.refused / 3600,
            )
        return {*refused}

    async def _is_sparse(self, name: str, needed: int) -> bool:
        size = await self._backend.objects.size(name)
        return size is not None and needed < SPARSE * size

    def _is_over(self, name: str, sweep: Sweep) -> bool:
        """Whether no row can come any more that names an object, and has not yet."""
        graces = self._backend.graces
        return born(name) + grace_of(name, graces) + graces.late < sweep.now

    async def _look_for_garbage(self, kind: Kind) -> None:
        catalog, objects = self._backend.catalog, self._backend.objects
        sweep = await self._go_on()
        if sweep is None:
            return
        after = sweep.packs if kind == "packs" else sweep.parts
        async for listed in objects.listed(kind, after):
            names = [name for name in listed if self._is_over(name, sweep)]
            if not names:
                return
            needed = await catalog.read(sweep_rows.needed, names)
            loose = await catalog.read(sweep_rows.loose_among, names)
            garbage = [name for name in names if name not in needed and name not in loose]
            if garbage:
                refused = await self._remove(garbage)
                if removed := len(garbage) - len(refused):
                    self._garbage.value += removed
                    log.info("%d objects were removed that no row ever named", removed)
                await catalog.write((), rows.loosen, refused, self._backend.graces.refused)
            await catalog.write((), sweep_rows.listed_to, kind, names[-1])
            if len(names) < len(listed):
                return
