"""The token in the Authorization header (RFC 6750)."""

from collections.abc import Callable

from conexiones.errors import TokenMistyped
from conexiones.principals import Principal
from conexiones.transport.chain.call import Call

HEADER = b"authorization"


class Bearer:
    """A Source of callers: `find` gives who has a token or a ticket, and `signed` who has a JWT, which Envoy
    has verified. Without `signed` no JWT is good."""

    kind = "token"

    def __init__(
        self, find: Callable[[str], Principal], *, signed: Callable[[Call, str], Principal] | None = None
    ) -> None:
        self._find = find
        self._signed = signed

    def __call__(self, call: Call) -> Principal | None:
        """Raises an error of the branch Unauthenticated."""
        value = call.only_header(HEADER)
        if value is None:
            return None
        scheme, _, token = value.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":  # nor is it if there are several: which counts is not ours to choose
            raise TokenMistyped
        if self._signed and token.count(".") == 2:
            return self._signed(call, token)
        return self._find(token)
