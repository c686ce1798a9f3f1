"""The token with which an attack comes, where the server asks for one."""

from contextvars import ContextVar

TOKEN: ContextVar[str] = ContextVar("token", default="")
"""That of the present task. It is for the calls of link.py, http1.py and h3.py; what is sent frame by frame
(h2.py) is refused, or broken off, before the server knows who calls."""


def headers() -> dict[str, str]:
    """The header with the token, if there is one."""
    token = TOKEN.get()
    return {"authorization": f"Bearer {token}"} if token else {}
