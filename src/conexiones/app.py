"""The composition root: settings become an application. Nothing else imports adapters."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from conexiones import __version__, callers
from conexiones.adapters.audit.file import AccessFile, AuditFile
from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.adapters.renditions.cache import FileRenditions
from conexiones.adapters.scrub.file import log_damage
from conexiones.adapters.system import admin_token
from conexiones.adapters.system.gauges import SystemGauges
from conexiones.adapters.system.memory_cache import MemoryCache
from conexiones.adapters.telemetry.metrics_push import pushed
from conexiones.adapters.telemetry.resource import attributes
from conexiones.adapters.telemetry.traces import tracer
from conexiones.certificate_rules import read_rules
from conexiones.commit import commit
from conexiones.domain.access import TOKEN, Directory, Links, is_secret, mint
from conexiones.domain.access.certificates import Certificates
from conexiones.domain.access.elsewhere import Elsewhere
from conexiones.domain.describing import Describing
from conexiones.domain.duties import Duties
from conexiones.domain.figures import Figures
from conexiones.domain.gallery import Gallery
from conexiones.domain.ids import now
from conexiones.domain.images import Images, Limits
from conexiones.domain.renditions import Renditions
from conexiones.domain.status import Status
from conexiones.domain.uploads import SmallImages, Uploads
from conexiones.domain.users import Users
from conexiones.domain.verifying import Scrub
from conexiones.domain.watching import Watching
from conexiones.errors import (
    ConexionesError,
    StorageFull,
    StorageUnavailable,
    TokenExpired,
    TokenRevoked,
    Unauthenticated,
)
from conexiones.metrics import Metrics
from conexiones.ports.audit import AuditEntry
from conexiones.ports.records import UploadQuota
from conexiones.principals import SCOPES
from conexiones.routes import SERVICES, STREAMING_METHOD, routes
from conexiones.services.admin import AdminService
from conexiones.services.details import packed
from conexiones.services.health import HealthService
from conexiones.services.image_files import ImageFiles
from conexiones.services.images import ImageService
from conexiones.services.reflection import ReflectionService
from conexiones.services.sessions import Sessions
from conexiones.services.status import StatusService
from conexiones.services.uploads import UploadService
from conexiones.services.usuario import UsuarioService
from conexiones.settings import Settings
from conexiones.stores.embedded import EmbeddedStores
from conexiones.stores.stores import Stores
from conexiones.transport.chain.access import Access
from conexiones.transport.chain.access_log import Recorded
from conexiones.transport.chain.audit import Audit
from conexiones.transport.chain.log import why
from conexiones.transport.chain.session import SessionSource
from conexiones.transport.chain.steps import Step
from conexiones.transport.chain.trace import Trace
from conexiones.transport.front import Front
from conexiones.transport.http.hosts import Hosts
from conexiones.transport.http.images import ImagesOverHttp
from conexiones.transport.http.page import Page
from conexiones.transport.http.session import SessionsOverHttp
from conexiones.transport.process import figures
from conexiones.transport.router import Router
from conexiones.transport.rpc.method import MessageLimit
from conexiones.waits import observe_memory
from conexiones.watched_files import WatchedFiles

ACCESS_SWEEP_SECONDS = 30.0
"""The same for credentials, whose last use is noted."""

SWEEP_SECONDS = 600.0
"""Time between two sweeps of what has expired."""

UPLOADS_SWEEP_SECONDS = 30.0
"""The same for uploads, some of which expire within minutes."""

RETRY_SECONDS = 30.0
"""Time until work in the background is tried again after a fault of the storage."""

DECODER_NICE = 5
"""The niceness, as in nice(1), of the decoders: they leave the processor to the event loop."""

BACKGROUND_NICE = 15
"""The niceness of the process that decodes in the background."""

BACKGROUND_FACTOR = 6
"""The background decoder may take this many times `decode_seconds` for an image."""

_READY = (
    "Whether the server takes calls: 1, or 0 while it drains or its database is away, and once it can store"
    " nothing any more."
)

log = logging.getLogger("conexiones.app")


def build(settings: Settings, *, steps: Sequence[Step] = ()) -> Front:
    """The application. Building it does no I/O: its parts are opened and closed by its lifespan. `steps` are
    further steps of the chain, around all others."""
    budgets = settings.budgets
    metrics = Metrics()
    hot: MemoryCache[Any] = MemoryCache(budgets.hot, metrics=metrics)
    observe_memory(metrics, "hot", hot)
    stores = _stores(settings, hot=hot, metrics=metrics)
    catalog = stores.catalog
    program = (__version__, commit(), str(stores.schema))
    metrics.observe(
        "conexiones.build.info",
        "{program}",
        "Always 1: its labels say which program runs, and the schema of its catalog.",
        lambda: {program: 1},
        ("version", "commit", "schema"),
    )
    decoder = VipsDecoder(
        workers=settings.decode_workers,
        decode_pixels=settings.decode_pixels,
        decode_seconds=settings.decode_seconds,
        decode_memory=settings.decode_memory,
        wait_seconds=settings.decode_wait_seconds,
        nice=DECODER_NICE,
        metrics=metrics,
    )
    # One process for facts in the background. It leaves the processor to all others, so it may take longer.
    # It has a share of the memory only where there is enough.
    quiet = decoder
    if budgets.has_background:
        quiet = VipsDecoder(
            workers=1,
            decode_pixels=settings.decode_pixels,
            decode_seconds=settings.decode_seconds * BACKGROUND_FACTOR,
            decode_memory=settings.decode_memory,
            wait_seconds=None,
            ready=0,
            nice=BACKGROUND_NICE,
            name="background",
            metrics=metrics,
        )
    cache = FileRenditions(
        stores.folder, limit=settings.rendition_cache, piece=budgets.piece, cache=hot, metrics=metrics
    )
    nobody = callers.nobody(settings)
    directory = Directory(stores.credentials, allowance=callers.allowance(settings), nobody=nobody)
    links = Links(stores.credentials, directory)
    elsewhere = Elsewhere(stores.credentials, directory, links)
    duties = Duties(stores.leases, metrics=metrics)
    records = _Records(settings, metrics)
    certificates, rules = Certificates(), None
    if settings.certificate_rules:
        rules = _rules(settings.certificate_rules, certificates, directory, records)
    limits = Limits(
        max_image_bytes=settings.max_image_bytes,
        max_pixels=settings.max_pixels,
        decode_pixels=settings.decode_pixels,
        decode_seconds=settings.decode_seconds,
    )
    images = Images(catalog, stores.staging, stores.blobs, decoder, limits, metrics=metrics)
    quota = UploadQuota(uploads=settings.max_open_uploads, bytes=settings.max_open_bytes)
    uploads = Uploads(
        catalog, stores.staging, images, quota, quiet_seconds=settings.upload_idle_seconds, metrics=metrics
    )
    uploads.on_expired = partial(records.note, "upload.expired")
    describing = Describing(
        catalog,
        catalog,
        stores.blobs,
        prompt=decoder,
        quiet=quiet,
        limits=limits,
        duties=duties,
        metrics=metrics,
    )
    renditions = Renditions(catalog, stores.blobs, decoder, cache, limits)
    scrub = Scrub(
        catalog,
        stores.blobs,
        stores.scrub,
        days=settings.scrub_days,
        on_damage=log_damage,
        duties=duties,
        metrics=metrics,
    )
    gallery = Gallery(catalog, stores.blobs, renditions, metrics=metrics)
    watching = Watching(catalog, catalog, metrics=metrics)
    counted = Figures(catalog, watching, metrics=metrics)
    system = SystemGauges(
        stores.folder,
        sizes=stores.sizes,
        processes=partial(_processes, stores, {decoder, quiet}),
        reserve=stores.reserve,
        metrics=metrics,
    )
    target = attributes()
    page = Page()
    health = HealthService(SERVICES)
    metrics.observe("conexiones.ready", "{server}", _READY, lambda: int(not health.reason))
    limit = MessageLimit(max_bytes=settings.max_message_bytes, streaming_method=STREAMING_METHOD)
    rpcs = routes(
        usuario=UsuarioService(Users(catalog, images), images, describing),
        uploads=UploadService(
            uploads,
            SmallImages(catalog, images),
            describing,
            limits,
            quota,
            directory,
            max_message_bytes=limit.max_bytes,
        ),
        images=ImageService(gallery, watching, renditions, describing, links),
        status=StatusService(Status(catalog), scrub, build=commit(), schema=stores.schema),
        admin=AdminService(directory, links, elsewhere.look),
        health=health,
        reflection=ReflectionService(SERVICES) if settings.reflection else None,
        limit=limit,
    )

    def drain() -> None:
        health.drain()
        watching.drain()

    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        await asyncio.to_thread(page.open)
        async with AsyncExitStack() as stack:  # what was opened is closed even if the next part fails to open
            await stack.enter_async_context(pushed(metrics))
            await records.open(stack)
            if rules:
                await rules.first()
            await stores.open_catalog(stack)
            await elsewhere.begin()
            await directory.open()
            await links.open()
            if settings.auth == "required":
                await _end_made(directory, certificates if settings.tls_client_ca else None, records)
                await _first_admin(directory, stores.token_folder, records, again=settings.new_admin_token)
            await stores.open_blobs(stack)
            stack.push_async_callback(duties.leave)
            await duties.take()
            stack.push_async_callback(cache.close)
            await cache.open()
            for pool in dict.fromkeys((decoder, quiet)):
                stack.push_async_callback(pool.close)
                await pool.open()
            stack.push_async_callback(uploads.close)
            stack.push_async_callback(describing.close)
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(_sweep(UPLOADS_SWEEP_SECONDS, uploads.sweep)),
                    tasks.create_task(_sweep(SWEEP_SECONDS, watching.sweep, renditions.sweep, links.sweep)),
                    tasks.create_task(_sweep(ACCESS_SWEEP_SECONDS, directory.sweep)),
                    tasks.create_task(_again("Describing images", describing.run)),
                    *([tasks.create_task(_again("Verifying", scrub.run))] if settings.scrub_days else ()),
                    tasks.create_task(counted.run()),
                    tasks.create_task(system.run()),
                    tasks.create_task(stores.watch(health.drain, health.pause)),
                    tasks.create_task(elsewhere.run()),
                    *([tasks.create_task(duties.run())] if stores.leases else ()),
                    *(tasks.create_task(_sweep(seconds, sweep)) for seconds, sweep in stores.sweeps()),
                ]
                if rules:
                    background.append(tasks.create_task(rules.watch()))
                yield
                for task in background:
                    task.cancel()

    files = ImagesOverHttp(ImageFiles(gallery, renditions), shared=bool(settings.cors_origins))
    hosts = Hosts(
        settings.names or (),
        listening=settings.address.rpartition(":")[0].strip("[]"),
        origins=settings.cors_origins or (),
        secure=settings.tls_cert is not None,
    )
    sessions = Sessions(directory)
    secure = settings.tls_cert is not None
    session = SessionSource(sessions.find, is_own=hosts.is_own, secure=secure)
    asks = settings.auth == "required"
    router = Router(
        rpcs,
        images=files,
        page=page,
        details=packed,
        hosts=hosts,
        sessions=SessionsOverHttp(sessions, session).routes if asks else None,
    )
    access = Access(
        callers.sources(settings, directory, links, certificates, session), nobody=nobody, look=elsewhere.look
    )
    front = Front(
        router,
        settings,
        access=access,
        resources=resources,
        on_drain=drain,
        on_reload=partial(_reload, rules, records),
        told={
            "readiness": lambda: health.reason,
            "figures": lambda: {"figures": figures.packed(metrics.read()), "target": target},
        },
        metrics=metrics,
        audit=records.audit,
        trace=records.trace,
        recorded=records.recorded,
        steps=steps,
    )
    directory.on_end = certificates.on_end = front.end_calls
    links.on_end = front.end_links
    return front


class _Records:
    """What the server writes down of calls, with the steps of the chain for that: the audit log, the access
    log and traces, each only if it is asked for."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._audit = AuditFile(settings.audit_log) if settings.audit_log else None
        path = settings.access_log
        self._calls = AccessFile(Path(path), form=settings.log_format) if path else None
        self._tracer = tracer(metrics)
        self.audit = Audit(self._audit) if self._audit else None
        self.recorded = Recorded(self._calls) if self._calls else None
        self.trace = Trace(self._tracer) if self._tracer else None

    async def open(self, stack: AsyncExitStack) -> None:
        if self._tracer:
            self._tracer.open()
            stack.push_async_callback(self._tracer.close)
        for lines in filter(None, (self._calls, self._audit)):
            stack.push_async_callback(lines.close)
            await lines.open()

    def open_again(self) -> None:
        """Opens the files again, which may have been replaced."""
        for lines in filter(None, (self._calls, self._audit)):
            lines.open_again()

    def note(self, event: str, ids: Iterable[str]) -> None:
        """Writes down what the server has changed by itself: the kind of the objects is in `event` before the
        dot."""
        if self._audit:
            kind = event.partition(".")[0]
            for each in ids:
                self._audit.write(AuditEntry(time=now(), event=event, kind=kind, id=each))


def _stores(settings: Settings, *, hot: MemoryCache[Any], metrics: Metrics) -> Stores:
    """Where the server keeps things."""
    if settings.database:
        # Imported here: an embedded server needs no driver for it.
        from conexiones.stores.shared import SharedStores

        return SharedStores(settings, hot=hot, metrics=metrics)
    return EmbeddedStores(settings, hot=hot, metrics=metrics)


def _processes(stores: Stores, pools: Iterable[VipsDecoder]) -> Mapping[str, list[int]]:
    """The processes of the server, by their kind. This one has Envoy, too."""
    return {
        "supervisor": [os.getppid()],
        "server": [os.getpid()],
        "writer": stores.writers(),
        "decoder": [pid for pool in pools for pid in pool.pids()],
    }


def _reload(rules: WatchedFiles | None, records: _Records) -> None:
    """Reads files again, or opens them again, that were replaced."""
    if rules:
        rules.again()
    records.open_again()


def _rules(path: Path, certificates: Certificates, directory: Directory, records: _Records) -> WatchedFiles:
    """The file with the rules for certificates, which are put in force when it is read."""

    async def load() -> None:
        rules = await asyncio.to_thread(read_rules, path, directory.allowance)
        certificates.replace(rules)
        records.note("certificate_rules.read", [rules.id])
        await _end_made(directory, certificates, records)

    return WatchedFiles([path], load, what="certificate rules")


async def _end_made(directory: Directory, certificates: Certificates | None, records: _Records) -> None:
    """Ends what the holders of certificates have made who have lost rights by other rules: all of them, if
    no certificates are taken any more."""
    for one in directory.held_certificates():
        if certificates is None or not certificates.keeps(one):
            for each in directory.family(one.credential):
                records.note(f"{each.kind}.revoked", [each.id])
            try:
                await directory.revoke(one.credential)
            except ConexionesError:
                log.exception("What a certificate has made is revoked, and that is not durable yet")


async def _first_admin(directory: Directory, folder: Path | None, records: _Records, *, again: bool) -> None:
    """Makes the first token of the administrator, or with `again` another one if the one in the file is gone.
    It is in its file before it is in the catalog: a start that is killed in between goes on with the token in
    the file. Without a folder for the file, a command makes it. Raises OSError."""
    if directory.has_admin() and not again:
        return
    if folder is None:
        log.warning("There is no administrator yet: conexiones token first makes a token for one")
        return
    secret = await asyncio.to_thread(admin_token.read, folder)
    works, known = _works(directory, secret)
    if works:
        return
    if known or not is_secret(secret):
        secret = mint(TOKEN)
        await asyncio.to_thread(admin_token.write, folder, secret)
    made = (await directory.create_token("admin", SCOPES, secret=secret)).credential
    records.note("token.created", [made.id])


def _works(directory: Directory, secret: str) -> tuple[bool, bool]:
    """Whether a token is one of an administrator that works, and whether it was ever given out."""
    try:
        return "admin" in directory.principal(secret).scopes, True
    except (TokenExpired, TokenRevoked):
        return False, True
    except Unauthenticated:
        return False, False


async def _again(what: str, run: Callable[[], Awaitable[None]]) -> None:
    """Runs what goes on for ever, again after it has failed."""
    while True:
        try:
            await run()
        except* (StorageFull, StorageUnavailable) as faults:  # of a task group, too
            log.warning("%s waits for the storage; it is tried again: %s", what, why(_first(faults)))
        except* Exception:
            log.exception("%s failed; it is tried again", what)
        await asyncio.sleep(RETRY_SECONDS)


def _first(faults: ExceptionGroup[StorageFull | StorageUnavailable]) -> ConexionesError:
    first = faults.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


async def _sweep(seconds: float, *sweeps: Callable[[], Awaitable[None]]) -> None:
    while True:
        for sweep in sweeps:
            try:
                await sweep()
            except (StorageFull, StorageUnavailable) as fault:
                log.error("Sweeping failed; it is tried again: %s: %s", fault.reason, why(fault))
            except ConexionesError:
                log.exception("Sweeping failed; it is tried again")
        await asyncio.sleep(seconds)
