"""The composition root: settings become an application. Nothing else imports adapters."""

import asyncio
import logging
import os
import re
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from connectrpc.compression.gzip import GzipCompression
from connectrpc.server import ConnectASGIApplication
from connectrpc_grpcreflect import ServerReflectionAlphaASGIApplication, ServerReflectionASGIApplication
from google.protobuf import descriptor_pool, message_factory

from conexiones.adapters.blobs.local.store import FileBlobs
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.adapters.renditions.cache import FileRenditions
from conexiones.domain.describing import Describing
from conexiones.domain.gallery import Gallery
from conexiones.domain.images import Images, Limits
from conexiones.domain.renditions import Renditions
from conexiones.domain.status import Status
from conexiones.domain.uploads import Uploads
from conexiones.domain.users import Users
from conexiones.errors import ConexionesError
from conexiones.gen.conexiones.v1.images_connect import ImageServiceASGIApplication
from conexiones.gen.conexiones.v1.status_connect import StatusServiceASGIApplication
from conexiones.gen.conexiones.v1.uploads_connect import UploadServiceASGIApplication
from conexiones.gen.user_connect import UsuarioServicioASGIApplication
from conexiones.ports.records import UploadQuota
from conexiones.services.files import Files
from conexiones.services.health import SERVICE as HEALTH
from conexiones.services.health import HealthASGIApplication, HealthService
from conexiones.services.images import ImageService
from conexiones.services.reflection import reflection
from conexiones.services.status import StatusService
from conexiones.services.uploads import UploadService
from conexiones.services.usuario import UsuarioService
from conexiones.settings import Settings
from conexiones.transport import guard
from conexiones.transport.front import Front, Route
from conexiones.transport.http.images import ImageFiles
from conexiones.transport.http.page import Page
from conexiones.transport.inbound import Budget
from conexiones.transport.process import control
from conexiones.transport.rpc.codecs import codecs
from conexiones.transport.streaming import Streaming
from conexiones.transport.unary import Unary

USUARIO = "user.UsuarioServicio"
UPLOADS = "conexiones.v1.UploadService"
IMAGES = "conexiones.v1.ImageService"
STATUS = "conexiones.v1.StatusService"

SWEEP_SECONDS = 600.0
"""How often what has expired is swept away."""

RETRY_SECONDS = 30.0
"""After a fault of the storage."""

NICE = 15
PATIENCE = 6
"""Of what decodes in the background: how nice it is, and how many times as long it may take."""

log = logging.getLogger("conexiones.app")


def build(settings: Settings) -> Front:
    """The application, without I/O; it opens and closes with its lifespan."""
    catalog = SqliteCatalog(settings.data_dir / "catalog.sqlite3")
    blobs = FileBlobs(settings.data_dir)
    decoder = VipsDecoder(
        workers=settings.decode_workers,
        decode_pixels=settings.decode_pixels,
        decode_seconds=settings.decode_seconds,
        decode_memory=settings.decode_memory,
    )
    # One process that leaves the processor to all others, and so may take its time.
    quiet = VipsDecoder(
        workers=1,
        decode_pixels=settings.decode_pixels,
        decode_seconds=settings.decode_seconds * PATIENCE,
        decode_memory=settings.decode_memory,
        ready=0,
        nice=NICE,
    )
    cache = FileRenditions(settings.data_dir, limit=settings.rendition_cache)
    limits = Limits(
        max_image_bytes=settings.max_image_bytes,
        max_pixels=settings.max_pixels,
        decode_pixels=settings.decode_pixels,
        decode_seconds=settings.decode_seconds,
    )
    images = Images(catalog, blobs, decoder, limits)
    quota = UploadQuota(uploads=settings.max_open_uploads, bytes=settings.max_open_bytes)
    uploads = Uploads(catalog, blobs, images, quota)
    describing = Describing(catalog, catalog, blobs, prompt=decoder, quiet=quiet, limits=limits)
    renditions = Renditions(catalog, blobs, decoder, cache, limits)
    gallery = Gallery(catalog, blobs, renditions)
    page = Page()
    services = [USUARIO, UPLOADS, IMAGES, STATUS, HEALTH]
    health = HealthService(services)

    too_large = {"limit": settings.max_message_bytes, "streaming_method": f"/{USUARIO}/GetStreamImage"}
    options: dict[str, Any] = {
        "interceptors": guard.interceptors(too_large),
        "read_max_bytes": settings.max_message_bytes,
        "compressions": [GzipCompression()],
    }
    # Every service but reflection, whose messages are of connectrpc's own protobuf library.
    ours = {**options, "codecs": codecs()}
    usuario = UsuarioService(Users(catalog, images), images, describing)
    routes = _routes(UsuarioServicioASGIApplication(usuario, **ours), usuario, too_large)
    upload = UploadService(uploads, describing, limits, quota, max_message_bytes=settings.max_message_bytes)
    routes |= _routes(UploadServiceASGIApplication(upload, **ours), upload, too_large)
    image = ImageService(gallery, renditions, describing)
    routes |= _routes(ImageServiceASGIApplication(image, **ours), image, too_large, endless={"WatchImages"})
    status = StatusService(Status(catalog))
    routes |= _routes(StatusServiceASGIApplication(status, **ours), status, too_large)
    routes |= _routes(HealthASGIApplication(health, **ours), None, too_large, standing=True)
    if settings.reflection:
        current, alpha = reflection(services)
        for app in (
            ServerReflectionASGIApplication(current, **options),
            ServerReflectionAlphaASGIApplication(alpha, **options),
        ):
            routes[f"{app.path}/ServerReflectionInfo"] = Route(app=app, streams=True)

    def drain() -> None:
        health.drain()
        gallery.drain()

    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        await asyncio.to_thread(page.open)
        async with AsyncExitStack() as stack:  # each closes even if the next does not open
            stack.push_async_callback(catalog.close)
            await catalog.open()
            stack.push_async_callback(blobs.close)
            await blobs.open(catalog)
            stack.push_async_callback(cache.close)
            await cache.open()
            for pool in (decoder, quiet):
                stack.push_async_callback(pool.close)
                await pool.open()
            stack.push_async_callback(uploads.close)
            stack.push_async_callback(describing.close)
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(_sweep(uploads, gallery, renditions)),
                    tasks.create_task(_describe(describing)),
                ]
                yield
                for task in background:
                    task.cancel()

    return Front(
        routes,
        images=ImageFiles(Files(gallery, renditions), shared=bool(settings.cors_origins)),
        page=page,
        resources=resources,
        on_drain=drain,
        control=_control if control.VARIABLE in os.environ else None,
        budget=Budget(settings.message_budget),
        max_calls=settings.max_calls,
        max_message_bytes=settings.max_message_bytes,
        stall_seconds=settings.stall_seconds,
    )


async def _describe(describing: Describing) -> None:
    while True:
        try:
            await describing.run()
        except Exception:
            log.exception("Describing images failed; it is tried again")
        await asyncio.sleep(RETRY_SECONDS)


async def _sweep(uploads: Uploads, gallery: Gallery, renditions: Renditions) -> None:
    while True:
        try:
            await uploads.sweep()
            await gallery.sweep()
            await renditions.sweep()
        except ConexionesError:
            log.exception("Sweeping failed; it is tried again")
        await asyncio.sleep(SWEEP_SECONDS)


def _routes(
    app: "ConnectASGIApplication[Any]",
    service: object,
    too_large: Mapping[str, Any],
    *,
    standing: bool = False,
    endless: Collection[str] = (),
) -> dict[str, Route]:
    """A route for each method of a service: a path that is not one of them never reaches connectrpc.

    `service` has their handlers, if they have a short way."""
    descriptor = descriptor_pool.Default().FindServiceByName(app.path.removeprefix("/"))
    routes = {}
    for method in descriptor.methods:
        name = f"{descriptor.full_name}/{method.name}"
        streams = method.client_streaming or method.server_streaming
        short: Unary | Streaming | None = None
        if service:
            handler = getattr(service, re.sub("(?<!^)([A-Z])", r"_\1", method.name).lower())
            request = message_factory.GetMessageClass(method.input_type)
            if streams:
                short = Streaming(
                    name,
                    handler,
                    request,
                    requests=method.client_streaming,
                    replies=method.server_streaming,
                    pieces=name == f"{USUARIO}/GetStreamImage",
                    too_large=too_large,
                )
            else:
                short = Unary(name, handler, request, max_message_bytes=too_large["limit"])
        routes[f"{app.path}/{method.name}"] = Route(
            app=app, streams=streams, short=short, standing=standing, endless=method.name in endless
        )
    return routes


async def _control() -> control.Control:
    return await control.Control.open(socket.socket(fileno=int(os.environ[control.VARIABLE])))
