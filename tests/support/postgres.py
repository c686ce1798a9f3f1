"""PostgreSQL as the tests start it: Debian's, as a normal user, on a socket in a folder of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.processes import suspend
from tests.support.waiting import DEADLINE

_CONFIGURATION = """
listen_addresses = ''
max_connections = 80
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
"""

_ALONE = "max_wal_senders = 0\nwal_level = minimal\n"
_FOLLOWED = "synchronous_standby_names = '*'\n"
"""Of a server that acknowledges what its standby has, too."""

_schemas = count(1)


class Engine:
    """A server whose socket is in `folder`. Each schema of it is the database of one catalog."""

    def __init__(self, folder: Path, data: Path, binaries: Path, user: str | None) -> None:
        self.folder = folder
        self._binaries = binaries
        self._user = user
        self._data = data
        self._old: list[str] = []

    def create(self, *, fsync: bool, followed: bool = False) -> None:
        flags = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions", "-N"]
        self._run("initdb", "-D", str(self._data), *flags)
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"{_CONFIGURATION}fsync = {'on' if fsync else 'off'}\n")
            file.write(f"unix_socket_directories = '{self.folder}'\n")
            file.write(_FOLLOWED if followed else _ALONE)

    def follow(self, primary: "Engine") -> None:
        """Becomes the standby of another server."""
        source = f"host={primary.folder} user=postgres application_name=standby"
        self._run("pg_basebackup", "-D", str(self._data), "-d", source, "-R", "-X", "stream", "-c", "fast")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"unix_socket_directories = '{self.folder}'\nsynchronous_standby_names = ''\n")
        self.start()

    def promote(self) -> None:
        """Becomes a primary."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "promote")

    def start(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self.folder / "log"), "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    @property
    def pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    def processes(self) -> list[psutil.Process]:
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            postmaster = psutil.Process(self.pid)
            return [postmaster, *postmaster.children()]
        return []

    def kill(self) -> None:
        """kill -9 of all its processes."""
        suspend(*self.processes()[:1])  # so that it begins none for a client meanwhile, which would be left
        processes = self.processes()
        self._signal(processes, signal.SIGKILL)
        psutil.wait_procs(processes)

    def freeze(self) -> None:
        suspend(*self.processes())

    def thaw(self) -> None:
        self._signal(self.processes(), signal.SIGCONT)

    def url(self, database: str = "postgres", *, user: str = "postgres", **options: str) -> str:
        more = "".join(f"&{name}={value}" for name, value in options.items())
        return f"postgresql://{user}@/{database}?host={self.folder}{more}"

    def database(self) -> str:
        """The name of an empty database."""
        name = f"test_{next(_schemas)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def schema(self) -> str:
        """The URL of an empty schema. Those that it has given before go."""
        name = f"test_{next(_schemas)}"
        drop = "".join(f"DROP SCHEMA {old} CASCADE;" for old in self._old)
        self._old = [name]
        self.sql(f"{drop} CREATE SCHEMA {name};")
        return self.url(search_path=name)

    def sql(self, statements: str, *, url: str = "") -> str:
        """What psql prints, one row a line."""
        # libpq does not know search_path as a part of the URL.
        place, _, path = (url or self.url()).partition("&search_path=")
        command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", place]
        text = f"SET search_path = {path}; {statements}" if path else statements
        return subprocess.run(command, input=text, text=True, check=True, capture_output=True).stdout.strip()

    def as_user(self) -> dict[str, Any]:
        """How a program is started as the normal user: initdb and others refuse root."""
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        if self._user is not None:
            # The other user is not for subprocess, which then forks: threads of gRPC do not survive that.
            group = pwd.getpwnam(self._user).pw_gid
            command = ["setpriv", f"--reuid={self._user}", f"--regid={group}", "--clear-groups", *command]
        done = subprocess.run(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if program != "pg_ctl" else subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}")

    @staticmethod
    def _signal(processes: list[psutil.Process], number: int) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def binaries() -> Path:
    """Where initdb is. Skips the test if PostgreSQL is not installed, or fails it in CI."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found and (on_path := shutil.which("initdb")):
        found = [Path(on_path)]
    if not found:
        refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        refuse("PostgreSQL is not installed: apt-get install postgresql")
    return found[-1].parent


@contextmanager
def running(*, fsync: bool = False, disk: Path | None = None) -> Iterator[Engine]:
    """A server that is gone afterwards. Without fsync it keeps what its processes, but not what the machine
    survives. Its data are in an empty folder on `disk`, if one is named."""
    with _engine(disk) as engine:
        engine.create(fsync=fsync)
        engine.start()
        yield engine


@contextmanager
def with_standby() -> Iterator[tuple[Engine, Engine]]:
    """A primary, and a standby that has all that the primary acknowledges."""
    with _engine(None) as primary, _engine(None) as standby:
        primary.create(fsync=False, followed=True)
        primary.start()
        standby.follow(primary)
        yield primary, standby


@contextmanager
def _engine(disk: Path | None) -> Iterator[Engine]:
    """What is in its folder, and runs there, is gone afterwards."""
    at = binaries()
    user = None
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
    folder = Path(tempfile.mkdtemp(prefix="conexiones-pg-"))
    try:
        for own in (folder, *filter(None, [disk])):
            if user:
                shutil.chown(own, user)
            own.chmod(0o700)
        engine = Engine(folder, (disk or folder) / "data", at, user)
        try:
            yield engine
        finally:
            engine.thaw()
            engine.kill()
    finally:
        shutil.rmtree(folder)


_POOLER = """
[databases]
* = host={folder} port=5432 user=postgres
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}/pooler
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 100
logfile = {folder}/pooler/log
"""


@contextmanager
def pooler(engine: Engine) -> Iterator[Callable[[str], str]]:
    """PgBouncer in transaction mode before the server. Gives a function from the name of a database to its
    URL there."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        refuse("PgBouncer is not installed: apt-get install pgbouncer")
    folder = engine.folder / "pooler"
    folder.mkdir()
    (folder / "ini").write_text(_POOLER.format(folder=engine.folder))
    if user := engine.as_user().get("user"):
        shutil.chown(folder, user)
        shutil.chown(folder / "ini", user)
    process = subprocess.Popen(
        [str(program), "-q", str(folder / "ini")], stderr=subprocess.DEVNULL, **engine.as_user()
    )
    try:
        end = time.monotonic() + DEADLINE
        while not (folder / ".s.PGSQL.6432").exists() and time.monotonic() < end:
            time.sleep(0.01)  # nothing announces it
        yield lambda name: f"postgresql://postgres@/{name}?host={folder}&port=6432"
    finally:
        process.kill()
        process.wait()
