"""A real server for the targets that attack one over its socket, and what its log says of what it was
sent."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from conexiones import Client
from conexiones.samples import samples
from conexiones.testing import Server, serve
from tests.fuzz.target import Complaint

NO_IMAGE = b"00000000-0000-0000-0000-000000000000"
NO_UPLOAD = b"11111111-1111-1111-1111-111111111111"
"""Stand for the id of a stored image and of an open upload: inputs are the same in every run, and ids are
not."""

RENEWED = 200
"""After so many inputs there are another image and another upload, since calls may delete them."""

_EXCEPTION = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)?): ?", re.MULTILINE)


class Served:
    """The server, and the ids that its inputs refer to."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server = server
        self._client = client
        self._inputs = 0
        self._read = len(server.log)
        self._image = self._upload = b""

    def real(self, data: bytes) -> bytes:
        """The input with real ids in it."""
        if self._inputs % RENEWED == 0:
            self._renew()
        self._inputs += 1
        return data.replace(NO_IMAGE, self._image).replace(NO_UPLOAD, self._upload)

    def _renew(self) -> None:
        self._image = self._client.upload(samples()[0].data).id.encode()
        self._upload = self._image  # an id of the right form, of no upload

    def check(self) -> None:
        """Raises a Complaint if the server's log has anything to say, or if a process of it has died."""
        log = self.server.log
        new, self._read = log[self._read :], len(log)
        if "Traceback" in new or " ERROR" in new:
            names = _EXCEPTION.findall(new)
            raise Complaint(f"log-{names[-1].rpartition('.')[2] if names else 'error'}", new)
        if not psutil.pid_exists(self.server.pid):
            raise Complaint("server-died", log[-4000:])


@contextmanager
def served() -> Iterator[Served]:
    with serve() as server, Client(server.address) as client:
        yield Served(server, client)
