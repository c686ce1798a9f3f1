"""Where the server listens."""

import ipaddress
import socket
from dataclasses import dataclass

from conexiones.addresses import split


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Reads HOST:PORT, with an IPv6 host in brackets; a name is looked up. Raises ValueError."""
        host, port = split(text, any_port=True)
        try:
            # IPv4 first: "localhost" then means what most clients try first.
            found = sorted(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError:
            raise ValueError(f"The host of the address {text!r} is not known.") from None
        return cls(str(found[0][4][0]), port)

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def probe(self, *, udp: bool = False) -> "Address":
        """The address with a port that is free now, for TCP and, if asked, for UDP; raises OSError.

        Port 0 stays 0, unless both are wanted: they must be the same.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with (
            socket.socket(family, socket.SOCK_STREAM) as tcp,
            socket.socket(family, socket.SOCK_DGRAM) as datagrams,
        ):
            # As Envoy does: a port in TIME_WAIT is free, one that is listened on is not.
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((self.host, self.port))
            tcp.listen(1)
            if not udp:
                return self
            taken = Address(self.host, tcp.getsockname()[1])
            datagrams.bind((taken.host, taken.port))
            return taken
