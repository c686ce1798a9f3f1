"""A worker process as the server sees it. The package `decoder_worker` is the program that runs in it."""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conexiones.adapters.system.python import interpreter

# The worker has one module of Conexiones, and the folder with its own. That folder comes after all others in
# the module search path, so that no module in it hides another.
PROGRAM = (
    "import os, sys; os.nice(int(sys.argv.pop(1)));"
    " sys.path.insert(0, sys.argv.pop(1)); import conexiones.exif; sys.path.pop(0);"
    " sys.path.append(sys.argv.pop(1)); from decoder_worker.process import main; main()"
)

FOLDER = Path(__file__).parent
SOURCE = FOLDER.parents[2]
"""Where the package conexiones is."""

START_SECONDS = 30.0
"""The time in which a worker has to load its libraries, on a machine that is busy with other things."""

REPLY_BYTES = 64 << 20
"""The most bytes of a message that is received into memory."""

FILE_BYTES = 512 << 20
"""The most bytes of a message that is received into a file."""

PIECE = 1 << 20

AHEAD = 128 << 10
"""How many bytes are received at once, if they are there: a whole reply, mostly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the task found, and its image: either in memory, or in a file of that size and SHA-256."""

    found: dict[str, Any]
    image: bytes
    size: int
    sha256: bytes


class NeverTaken(Exception):
    """The worker was dead, or died, before it took the request. Another worker may have the request."""


class CannotWrite(Exception):
    """The file for the reply could not be written. The OSError is chained."""


class WorkerProcess:
    """One worker process. Belongs to the thread that made it, except for `kill`.

    The constructor returns as soon as the program runs, before it has loaded its libraries. It raises OSError
    if the program cannot be started. The process may take `memory` bytes beyond what it takes when it is
    idle, and is `nice` to others (0 to 19, as in nice(1)).
    """

    def __init__(self, memory: int, nice: int) -> None:
        self._holds: list[str] | None = None
        self._ended = False
        self._received = bytearray()  # beyond the last message
        self._socket, theirs = socket.socketpair()
        # A file in memory, because a full pipe that nobody reads would stop the worker.
        self._stderr = os.fdopen(os.memfd_create("decoder-stderr"), "rb", buffering=0)
        python, environment = interpreter()
        try:
            self._process = subprocess.Popen(
                [python, "-I", "-c", PROGRAM, str(nice), SOURCE, FOLDER, str(memory)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env={"VIPS_CONCURRENCY": "1", **environment},
                # A Ctrl-C in the terminal must reach the server only. Not a session of its own: Linux gives
                # each session an equal part of the processor (autogroup), and niceness counts only within
                # one.
                process_group=0,
            )
        except OSError:
            self._socket.close()
            self._stderr.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return not self._ended and self._process.poll() is None

    def processor_seconds(self) -> float:
        """What the process has used of a processor. Safe to call from any thread."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return 0.0
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """Kills the process, which makes an `ask` under way fail. Safe to call from any thread."""
        self._process.kill()

    def end(self) -> None:
        """Kills the process and frees what belongs to it. Safe to call more than once."""
        self._ended = True
        self._process.kill()
        # A process in an uninterruptible read dies only after it. The pool must not wait for that.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._socket.close()
        self._stderr.close()

    def load(self) -> list[str]:
        """Waits until the worker has loaded its libraries. Gives the parts of its sandbox that hold.

        Raises OSError or ValueError if the process died or broke the protocol.
        """
        if self._holds is None:
            self._holds = [str(part) for part in json.loads(self._receive(time.monotonic() + START_SECONDS))]
        return self._holds

    def ask(
        self,
        request: dict[str, str | int],
        descriptor: int,
        into: Callable[[], int] | None,
        seconds: float,
    ) -> Reply:
        """The reply of the worker about the file of that descriptor, in at most `seconds`. `into` opens the
        file for the image that the task makes, whose descriptor is then closed; without it the image comes
        into memory.

        Call it after `load`. Raises TimeoutError; OSError or ValueError if the process died or broke the
        protocol; NeverTaken; and CannotWrite. After any of them the process is of no more use, and has to be
        ended.
        """
        deadline = time.monotonic() + seconds
        message = json.dumps(request).encode()
        self._socket.settimeout(seconds)
        try:
            message = len(message).to_bytes(4) + message
            sent = socket.send_fds(self._socket, [message], [descriptor])
            self._socket.sendall(message[sent:])
            self._receive(deadline)
        except ConnectionError as error:
            raise NeverTaken from error
        found = dict(json.loads(self._receive(deadline)))
        if into is None or found.get("cause"):
            image = self._receive(deadline)
            return Reply(found=found, image=image, size=len(image), sha256=b"")
        size, digest = self._save(into, deadline)
        return Reply(found=found, image=b"", size=size, sha256=digest)

    def last_words(self) -> bytes:
        """The last 2,000 bytes of what the process printed."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), 2000, max(0, size - 2000))

    def _receive(self, deadline: float) -> bytes:
        """Receives a message into memory."""
        return self._read(self._length(REPLY_BYTES, deadline), deadline)

    def _save(self, into: Callable[[], int], deadline: float) -> tuple[int, bytes]:
        """Receives a message into a file. Gives its size and SHA-256."""
        left = size = self._length(FILE_BYTES, deadline)
        sha = hashlib.sha256()
        try:
            file = os.fdopen(into(), "wb", buffering=0)
        except OSError as error:
            raise CannotWrite from error
        with file:
            while left:
                piece = self._read(min(left, PIECE), deadline)
                sha.update(piece)
                left -= len(piece)
                try:
                    while piece:
                        piece = piece[file.write(piece) :]
                except OSError as error:
                    raise CannotWrite from error
        return size, sha.digest()

    def _length(self, limit: int, deadline: float) -> int:
        length = int.from_bytes(self._read(4, deadline))
        if length > limit:
            raise ValueError(f"a reply of {length} bytes")
        return length

    def _read(self, length: int, deadline: float) -> bytes:
        data = self._received
        while len(data) < length:
            # A timeout of 0 would make the socket non-blocking.
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = self._socket.recv(max(length - len(data), AHEAD))
            if not piece:
                raise ConnectionError("the worker ended")
            data += piece
        taken = bytes(memoryview(data)[:length])
        del data[:length]
        return taken
