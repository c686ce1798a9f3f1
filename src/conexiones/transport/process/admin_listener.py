"""What those who run the server ask it: /metrics, /livez and /readyz, at an address of their own.

It belongs to the supervisor, which asks the application over their line and Envoy over its admin socket.
So it has an answer, too, when the application or Envoy does not.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from conexiones.errors import UnknownHost, UnknownOrigin
from conexiones.settings import Settings
from conexiones.transport.http.hosts import Hosts
from conexiones.transport.process import admin
from conexiones.transport.process.control import Control
from conexiones.transport.process.figures import unpacked
from conexiones.transport.process.place import Listening, Place
from conexiones.transport.process.plain_http import PlainHttp, Reply, Request
from conexiones.transport.process.start_error import StartError

ANSWER_SECONDS = 4.0
"""The longest wait for the application, and for Envoy: probes wait for five seconds or more."""

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"

_ENVOY = "/stats/prometheus?usedonly"

_SILENT = f"the application has not answered for {ANSWER_SECONDS:g} seconds"

log = logging.getLogger("conexiones.supervisor")


class AdminListener:
    """`folder` is the private one, with Envoy's admin socket.

    Until `serve`, the server starts, which may take long if the catalog is migrated: it is alive, and not
    ready. From `drain` on it is not ready any more.
    """

    def __init__(self, listening: Listening, settings: Settings, folder: Path) -> None:
        self.place = listening.place
        self._listening = listening
        self._folder = folder
        self._http = PlainHttp(self._answer)
        self._hosts = _hosts(listening.place, settings)
        self._line: Control | None = None
        self._draining = False
        self._answers: dict[str, asyncio.Task[Reply]] = {}  # those that are made now, by path
        self._paths: dict[str, Callable[[], Coroutine[Any, Any, Reply]]] = {
            "/metrics": self._metrics,
            "/livez": self._live,
            "/readyz": self._ready,
        }

    async def open(self) -> None:
        await self._http.open(self._listening.socket)

    def serve(self, line: Control) -> None:
        self._line = line

    def drain(self) -> None:
        self._draining = True

    async def close(self) -> None:
        for answer in self._answers.values():
            answer.cancel()
        await self._http.close()
        self._listening.close()

    async def _answer(self, request: Request) -> Reply:
        if self._hosts:
            try:
                # Who sends no Host, as HTTP/1.0 allows, is no browser.
                headers = {b"host": b"localhost", **request.headers}
                self._hosts.check({"http_version": request.version}, headers)
            except UnknownHost as error:
                return _said(421, error.message)
            except UnknownOrigin as error:
                return _said(403, error.message)
        if request.path not in self._paths:
            return _said(404, f"There is {', '.join(self._paths)}.")
        if request.verb not in ("GET", "HEAD"):
            return Reply(405, b"GET or HEAD.\n", headers={"allow": "GET, HEAD"})
        # Whoever asks while an answer is made gets the same one: however many ask, the application and Envoy
        # are asked once at a time.
        answer = self._answers.get(request.path)
        if answer is None or answer.done():
            answer = self._answers[request.path] = asyncio.create_task(self._make(request.path))
        return await asyncio.shield(answer)

    async def _make(self, path: str) -> Reply:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._paths[path]()
        except TimeoutError:
            return _said(503, f"not ok: {_SILENT}")
        except OSError as error:
            return _said(503, f"not ok: Envoy does not answer: {error}")
        except Exception:
            log.exception("%s could not be answered", path)
            return _said(500, "not ok: see the log")

    async def _live(self) -> Reply:
        """Whether the application and Envoy answer, whatever they say."""
        if self._line:
            await asyncio.gather(self._line.ask("readiness"), admin.ask(self._folder, "/server_info"))
        return _said(200, "ok")

    async def _ready(self) -> Reply:
        if self._draining:
            return _said(503, "not ok: the server drains")
        if self._line is None:
            return _said(503, "not ok: the server starts")
        reason = await self._line.ask("readiness")
        return _said(200, "ok") if reason == "" else _said(503, f"not ok: {reason or 'see the log'}")

    async def _metrics(self) -> Reply:
        if self._line is None:
            return _said(503, "not ok: the server starts")
        told, envoy = await asyncio.gather(self._line.ask("figures"), self._of_envoy())
        if told is None:
            return _said(500, "not ok: see the log")
        return Reply(200, await asyncio.to_thread(_exposition, told) + envoy, EXPOSITION)

    async def _of_envoy(self) -> bytes:
        """Envoy's own figures; none if it does not answer."""
        try:
            return await admin.ask(self._folder, _ENVOY)
        except OSError as error:
            log.warning("Envoy has not told its figures: %s", error)
            return b""


@asynccontextmanager
async def opened(settings: Settings, folder: Path) -> AsyncIterator[AdminListener | None]:
    """Takes the address, if one is set, so that nobody else can, and answers. Raises StartError."""
    place = checked(settings)
    if place is None:
        yield None
        return
    listener = AdminListener(place.listen(), settings, folder)
    await listener.open()
    try:
        yield listener
    finally:
        await listener.close()


def checked(settings: Settings) -> Place | None:
    """Where it is to listen; None without the setting. Raises StartError."""
    if not settings.admin_address:
        return None
    try:
        place = Place.parse(settings.admin_address)
    except ValueError as error:
        raise StartError(f"--admin-address: {error}") from None
    if not place.is_private and not (settings.admin_open or settings.insecure):
        raise StartError(
            f"--admin-address {place} is open to other machines, which could read what it serves:"
            " say --admin-open."
        )
    return place


def _hosts(place: Place, settings: Settings) -> Hosts | None:
    """A page of another host must not have a browser read it. No browser reaches a socket in a folder."""
    if place.address is None:
        return None
    return Hosts(settings.names or (), listening=place.address.host, origins=(), secure=False)


def _exposition(told: dict[str, Any]) -> bytes:
    # Imported here, since only those need the library who scrape.
    from conexiones.transport.process.exposition import exposition

    return exposition(unpacked(told["figures"]), told["target"])


def _said(status: int, sentence: str) -> Reply:
    return Reply(status, f"{sentence}\n".encode())
