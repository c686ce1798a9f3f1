"""The certificate of a client, which Envoy has verified (mTLS)."""

from collections.abc import Callable

from conexiones.principals import Principal
from conexiones.transport.chain.call import Call


class CertificateSource:
    """A Source of callers: `find` gives who has the certificate of a subject."""

    def __init__(self, find: Callable[[str], Principal]) -> None:
        self._find = find

    def __call__(self, call: Call) -> Principal | None:
        subject = call.subject
        return self._find(subject) if subject else None
