"""Signed links to images."""

from collections.abc import Callable
from dataclasses import replace

from conexiones.principals import Allowance, Principal
from conexiones.transport.chain.call import Call


class LinkSource:
    """A Source of callers: `opened` gives who may open the path and the query, and the query without what
    makes it a link. A link that was signed stands for nothing but its path. `allowance` has the rates of all
    links."""

    kind = "link"

    def __init__(
        self,
        opened: Callable[[str, str], tuple[Principal, str]],
        *,
        prefix: str,
        allowance: Allowance | None = None,
    ) -> None:
        self._opened = opened
        self._prefix = prefix
        self._allowance = allowance or Allowance()

    def __call__(self, call: Call) -> Principal | None:
        """Raises an error of the branch Unauthenticated."""
        if b"signature=" not in call.query or not call.path.startswith(self._prefix):
            return None
        principal, options = self._opened(call.path, call.query.decode("latin-1"))
        call.query = options.encode()
        return replace(principal, allowance=self._allowance)
