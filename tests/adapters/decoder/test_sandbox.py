"""A worker that tries what an intruder would: each attempt fails, by an error or by the worker's death."""

import asyncio
import json
import logging
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from conexiones.adapters.decoder import worker_process
from conexiones.adapters.decoder.decoder_worker.sandbox import PARTS
from conexiones.errors import NoPreview
from tests.adapters.decoder.workers import animated_avif, pool
from tests.support.corpus_heic import encoded
from tests.support.processes import own_decoders
from tests.support.waiting import DEADLINE, until

CONFINED = f"""
import array, ctypes, errno, fcntl, json, mmap, os, signal, socket, sys, threading
sys.path[:0] = [{str(worker_process.SOURCE)!r}]
sys.path.append({str(worker_process.FOLDER)!r})
from decoder_worker.process import confine
connected, _ = socket.socketpair()
folder = os.open(sys.argv[1], os.O_RDONLY)
mapped = mmap.mmap(-1, 4096)
page = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
libc = ctypes.CDLL(None, use_errno=True)
sys.stdout.write(json.dumps(confine(1 << 28)) + chr(10))
sys.stdout.flush()

def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
"""

ATTEMPTS = {
    "reads a file": "open('/etc/passwd')",
    "reads a file of its own": "open(sys.argv[1] + '/mine')",
    "reads what it has open once more": "open('/proc/self/fd/2')",
    "reads the memory of its parent": "open(f'/proc/{os.getppid()}/maps')",
    "reads a file beside an open folder": "os.open('mine', os.O_RDONLY, dir_fd=folder)",
    "looks whether there is a file": "os.stat('/etc/passwd')",
    "lists a folder": "os.listdir('/')",
    "lists an open folder": "os.listdir(folder)",
    "writes a file": "open(sys.argv[1] + '/made', 'w')",
    "makes a folder": "os.mkdir(sys.argv[1] + '/made')",
    "removes a file": "os.unlink(sys.argv[1] + '/mine')",
    "links a file": "os.link(sys.argv[1] + '/mine', sys.argv[1] + '/made')",
    "makes a file in memory": "os.memfd_create('made')",
    "connects by TCP": "socket.socket(socket.AF_INET).connect(('127.0.0.1', int(sys.argv[2])))",
    "connects by a path": "socket.socket(socket.AF_UNIX).connect(sys.argv[1] + '/socket')",
    "makes a pair of sockets": "socket.socketpair()",
    "listens on a socket that it has": "connected.listen()",
    "starts a program": "os.execv('/bin/true', ['true'])",
    "starts a program as a child": "os.posix_spawn('/bin/true', ['true'], {})",
    "forks": "os._exit(7) if os.fork() == 0 else os.wait()",
    "traces its parent": "call('ptrace', 16, os.getppid(), 0, 0)",
    "kills its parent": "os.kill(os.getppid(), signal.SIGKILL)",
    "kills its parent by a thread": "call('tgkill', os.getppid(), os.getppid(), signal.SIGKILL)",
    "outlives its parent": "call('prctl', 1, 0, 0, 0, 0)",
    "makes code": "call('mprotect', ctypes.c_void_p(page), 4096, 7)",
    "maps code": "mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "takes memory that is not counted": "mmap.mmap(-1, 4096)",
    "kills its parent by the kernel": "fcntl.fcntl(connected, fcntl.F_SETOWN, os.getppid())",
    "says which signal the kernel sends": "fcntl.fcntl(connected, 10, signal.SIGKILL)",
    "spoils a page of memory": "call('madvise', ctypes.c_void_p(page), 4096, 100)",
    "raises its limits": "call('prlimit', 0, 2, (ctypes.c_uint64 * 2)(-1, -1), None)",
    "becomes another user": "os.setuid(1)",
    "enters another namespace": "call('unshare', 0x10000000)",
}


def attempt(code: str, folder: Path, port: int) -> tuple[list[str], int, str]:
    """The parts of the sandbox that held, the exit status, and the last line on standard error."""
    program = f"{CONFINED}\n{code}\nos.write(1, b'done')\n"
    ran = subprocess.run(
        [sys.executable, "-I", "-c", program, folder, str(port)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    holds, _, rest = ran.stdout.partition("\n")
    assert rest in ("", "done")
    return json.loads(holds), ran.returncode if not rest else 0, ran.stderr.strip().rpartition("\n")[2]


@pytest.mark.parametrize("code", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_an_attempt_fails(tmp_path: Path, code: str) -> None:
    (tmp_path / "mine").write_bytes(b"a file that the server may read")
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "socket"))
        local.listen()
        before = sorted(tmp_path.iterdir())
        holds, status, words = attempt(code, tmp_path, listening.getsockname()[1])
        assert holds == list(PARTS)
        assert status == -signal.SIGSYS or (status == 1 and "PermissionError" in words), words
        assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "code",
    [
        "threading.Thread(target=int).start()",
        "bytes(1 << 20)",
        "os.ftruncate(2, 0) if sys.argv[3:] else None",
        "connected.send(b'a reply')",
    ],
)
def test_what_decoding_needs_is_possible(tmp_path: Path, code: str) -> None:
    assert attempt(code, tmp_path, 0)[1:] == (0, "")


@pytest.mark.parametrize(
    ("read", "data"),
    [
        ("_hevc(data, _primary(data)[0], 1 << 20)", encoded("grid")),
        ("_hevc(data, _primary(data)[0], 1 << 20)", encoded("alpha")),
        ("_sequence(data, None, 1 << 20, animated=True).header", animated_avif()),
    ],
    ids=["HEIC", "HEIC with alpha", "AVIF sequence"],
)
def test_images_of_boxes_are_decoded_within_it(tmp_path: Path, read: str, data: bytes) -> None:
    code = f"from decoder_worker.heif import _hevc, _primary, _sequence; data = {data!r}; {read}.avg()"
    assert attempt(code, tmp_path, 0) == (list(PARTS), 0, "")


def test_abort_ends_it_as_usual(tmp_path: Path) -> None:
    assert attempt("os.abort()", tmp_path, 0)[1] == -signal.SIGABRT


@pytest.fixture
def intruder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers that are started execute a program instead of their first request."""
    code = "from decoder_worker import process; from os import execv;"
    code += " process.answer = lambda *_: execv('/bin/true', ['true']); process.main()"
    start, _, _ = worker_process.PROGRAM.rpartition(" from ")
    monkeypatch.setattr(worker_process, "PROGRAM", f"{start} {code}")


@pytest.mark.usefixtures("intruder")
async def test_the_server_logs_an_attempt_as_a_crash(good: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with pool() as decoder:
        with pytest.raises(NoPreview, match="CRASH"):
            await decoder.preview(good, format="JPEG")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_part_that_is_missing_is_said_once_at_the_start(
    good: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # As where there is no libseccomp: the worker looks for another library in its place, and finds none.
    start, _, main = worker_process.PROGRAM.rpartition(" from ")
    monkeypatch.setattr(
        worker_process,
        "PROGRAM",
        f"{start} import ctypes; load = ctypes.CDLL;"
        " ctypes.CDLL = lambda name, **how: load('/no' if name else name, **how);"
        f" from {main}",
    )
    async with pool(workers=2, ready=2) as decoder:
        await asyncio.gather(*(decoder.preview(good, format="JPEG") for _ in range(4)))
        assert await decoder.preview(good, format="JPEG")
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ["the decoders run without a part of their sandbox: seccomp"]


def descriptors(pid: int) -> dict[str, str]:
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            found[entry.name] = str(entry.readlink())
    return found


async def test_a_worker_has_no_descriptors_but_its_own(good: Path) -> None:
    async with pool() as decoder:
        assert await decoder.preview(good, format="JPEG")
        (worker,) = own_decoders()
        await until(lambda: len(descriptors(worker.pid)) == 3)
        opened = descriptors(worker.pid)
    assert opened.keys() == {"0", "1", "2"}
    assert opened["0"].startswith("socket:")
    assert (opened["1"], opened["2"]) == ("/dev/null", "/memfd:decoder-stderr (deleted)")
