"""The rules of access: credentials, who they stand for, and links."""

from conexiones.domain.access.directory import TICKET_SECONDS, Directory, Issued
from conexiones.domain.access.links import DEFAULT_SECONDS as LINK_SECONDS
from conexiones.domain.access.links import Link, Links
from conexiones.domain.access.secrets import TOKEN, is_secret, mint

__all__ = [
    "LINK_SECONDS",
    "TICKET_SECONDS",
    "TOKEN",
    "Directory",
    "Issued",
    "Link",
    "Links",
    "is_secret",
    "mint",
]
