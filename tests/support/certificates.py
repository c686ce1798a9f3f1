"""Certificates for tests, such as `conexiones certs` makes, and the settings of servers that use them."""

from pathlib import Path
from typing import Any

from conexiones.certificates import make

HOSTS = ("localhost", "127.0.0.1", "::1")


def authority(folder: Path, *hosts: str) -> Path:
    """Makes a CA, and certificates of a server for `hosts` and of a client, in the folder. Gives it back."""
    make(folder, hosts or HOSTS, replace=True)
    return folder


def tls(certs: Path) -> dict[str, Any]:
    """The settings of a server with TLS."""
    return {"tls_cert": str(certs / "server.pem"), "tls_key": str(certs / "server.key")}


def mtls(certs: Path) -> dict[str, Any]:
    """The settings of a server that demands a client certificate of the same CA."""
    return {**tls(certs), "tls_client_ca": str(certs / "ca.pem")}
