"""The token that a client shows, and where it may be sent."""

import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import grpc

from conexiones import errors
from conexiones.addresses import loopback, split
from conexiones.errors import ConexionesError
from conexiones.sdk import traces
from conexiones.sdk.places import is_regular
from conexiones.sdk.threads import beside
from conexiones.secret_form import is_secret

HEADER = "authorization"
MAX_FILE_BYTES = 64 << 10
"""A file with more is no file with a token."""

_JWT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*){2}")
_CHANGED = errors.TokenExpired | errors.TokenRevoked | errors.TokenUnknown


class Secret:
    """A token, a ticket or a JWT. Nothing that shows or keeps an object shows or keeps what it is.

    Raises TokenMistyped for a text that no server would take for one.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        if not is_secret(self._text) and not _JWT.fullmatch(self._text):
            raise errors.TokenMistyped

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("A secret is not pickled.")


def read(path: str | PathLike[str]) -> Secret:
    """The token in a file, which has nothing else in it. Blocks. Raises OSError, TokenMistyped."""
    with Path(path).open("rb") as file:
        return Secret(file.read(MAX_FILE_BYTES).decode("ascii", errors="replace"))


class Shown:
    """What a client shows of itself: a token, that in a file, or nothing. Belongs to one event loop.

    A file is read with the first call, and again when the server says that its token is no longer good.
    """

    def __init__(self, secret: Secret | None, file: str | PathLike[str] | None) -> None:
        self.secret = secret
        self._file = file

    async def ready(self) -> None:
        """Reads the file, if that was not done yet. Raises OSError, TokenMistyped."""
        if self.secret is None and self._file is not None:
            self.secret = await beside(read, self._file)

    async def renewed(self, error: ConexionesError, sent: Secret | None) -> bool:
        """Whether the call that failed may be made again, since there is another token than the one that was
        sent with it."""
        if self._file is None or not isinstance(error, _CHANGED) or not is_regular(Path(self._file)):
            return False  # a pipe gives its token once
        if self.secret == sent:
            try:
                self.secret = await beside(read, self._file)
            except (OSError, errors.TokenMistyped):
                return False  # the server's answer says more
        return self.secret != sent

    def metadata(self) -> list[tuple[str, str]]:
        return [(HEADER, f"Bearer {self.secret.reveal()}")] if self.secret else []


class Showing:
    """A channel whose calls show the token, and belong to the trace of their operation. The generated stubs
    take it for a channel."""

    def __init__(self, channel: grpc.aio.Channel, shown: Shown) -> None:
        self._channel = channel
        self._shown = shown

    def unary_unary(self, *args: Any, **options: Any) -> Callable[..., Any]:
        return self._with(self._channel.unary_unary(*args, **options))

    def unary_stream(self, *args: Any, **options: Any) -> Callable[..., Any]:
        return self._with(self._channel.unary_stream(*args, **options))

    def stream_unary(self, *args: Any, **options: Any) -> Callable[..., Any]:
        return self._with(self._channel.stream_unary(*args, **options))

    def stream_stream(self, *args: Any, **options: Any) -> Callable[..., Any]:
        return self._with(self._channel.stream_stream(*args, **options))

    def _with(self, method: Callable[..., Any]) -> Callable[..., Any]:
        shown = self._shown

        def call(*args: Any, **options: Any) -> Any:
            return method(*args, metadata=[*shown.metadata(), *traces.metadata()], **options)

        return call


def plain_target(address: str) -> str:
    """The address for gRPC, to which a token may go without encryption, since it is one of this machine.

    A name is looked up here, and gRPC connects to what was found: whoever answers for the name later cannot
    send the token elsewhere. Raises ValueError if the address is not one of this machine.
    """
    host, port = split(address)
    found = loopback(address)
    if not found:
        raise ValueError(
            f"The token would go to {address} without encryption, where others can read it: turn TLS on, or"
            " say insecure_token."
        )
    if host.lower() == "localhost":  # gRPC tries both of its addresses
        return f"dns:///{address}"
    four = [one for one in found if ":" not in one]
    return f"ipv4:{four[0]}:{port}" if four else f"ipv6:[{found[0]}]:{port}"
