"""Whether a page of another host has led a browser here: the Host and the Origin of requests.

A page can have a name of its own lead to this server, even to one on loopback (DNS rebinding). To the browser
the two are then one host, and the page may call everything. What gives it away is the name in Host. Over TLS
the certificate has that name, so it is asked for in plain text only. Browsers speak HTTP/1.1 there; a client
of gRPC, which speaks HTTP/2, may use any name.
"""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from conexiones.errors import UnknownHost, UnknownOrigin

_PORTS = {"http": 80, "https": 443}
_HTTP1 = {"1.0", "1.1"}

ANY = "*"


class Hosts:
    """`names` are further names of the server, `listening` the host on which it listens, and `origins` those
    of pages of others that may call. ANY stands for all of them."""

    def __init__(self, names: Iterable[str], *, listening: str, origins: Iterable[str], secure: bool) -> None:
        self._names = frozenset(map(str.lower, names))
        machine = socket.gethostname().lower()
        self._hosts = self._names | {"localhost", machine, machine.partition(".")[0], listening.lower()}
        self._origins = frozenset(origins)
        self._asks = not secure and ANY not in self._names

    def check(self, scope: Any, index: dict[bytes, bytes]) -> None:
        """Looks at the Host and the Origin of a request, whose headers by name are `index`.

        Raises UnknownHost and UnknownOrigin.
        """
        if self._asks and scope["http_version"] in _HTTP1 and not self._is_ours(index.get(b"host", b"")):
            raise UnknownHost
        origin = index.get(b"origin")
        if origin is not None and not self._may_call(origin, index.get(b"host", b"")):
            raise UnknownOrigin

    def is_own(self, origin: bytes, host: bytes, scheme: str) -> bool:
        """Whether an Origin is that of the server itself, as browsers see it. `host` is the Host header of
        the request, and `scheme` the one that the browser used, as far as the server knows.

        A proxy that is not trusted may end TLS, or change the Host. What it is reached at is then known from
        the names, with the port of https.
        """
        given, seen = origin.decode("latin-1"), host.decode("latin-1")
        found = _split(given)
        if found[0] in _PORTS and found[1] and found == _split(f"{scheme}://{seen}"):
            return True
        name = _split("//" + seen)[1]
        through_proxy = not _port_named(host) or name not in self._names
        return through_proxy and found[1] in self._names and found == ("https", found[1], _PORTS["https"])

    def _is_ours(self, host: bytes) -> bool:
        name = _split("//" + host.decode("latin-1"))[1]
        return name in self._hosts or name.endswith(".localhost") or _is_address(name)

    def _may_call(self, origin: bytes, host: bytes) -> bool:
        text = origin.decode("latin-1")
        if ANY in self._origins or text in self._origins:
            return True
        scheme, name, port = _split(text)
        if scheme not in _PORTS or not name:
            return False
        # Scheme and port are not compared with those of the names: a balancer may have its own.
        return name in self._names or (name, port) == _split(f"{scheme}://{host.decode('latin-1')}")[1:]


def _port_named(host: bytes) -> bool:
    return host.decode("latin-1").rpartition("]")[2].rpartition(":")[1] != ""


def _split(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL, in lower case; empty if it is none."""
    try:
        parts = urlsplit(url)
        name = (parts.hostname or "").rstrip(".")
        return parts.scheme, name, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", "", None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
