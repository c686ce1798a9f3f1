"""Conexiones gRPC: users and images of any size between Python, Node.js, browsers and a server."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["AsyncClient", "Client", "__version__"]

if TYPE_CHECKING:
    from conexiones.sdk import AsyncClient, Client


def __getattr__(name: str) -> Any:
    # gRPC is imported only when a client is used: the server and `conexiones --help` do not need it.
    if name in {"AsyncClient", "Client"}:
        from conexiones import sdk

        return getattr(sdk, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
