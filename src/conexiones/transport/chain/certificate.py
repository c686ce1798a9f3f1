"""The certificate of a client, which Envoy has verified (mTLS)."""

import re
import time
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from cryptography import x509

from conexiones.errors import TokenExpired
from conexiones.principals import Certificate, Principal
from conexiones.transport.chain.call import CERTIFICATE, Call

# Envoy removes the header from requests and writes one of its own, so that it has one element:
# Hash=…;Cert="percent-encoded PEM";Subject="…". The certificate itself is read, because Envoy puts names
# between delimiters that names may contain.
_CERT = re.compile(rb'(?:Hash=[0-9a-f]*;)?Cert="([^"]*)"')

_UNREADABLE = (ValueError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""What `read` raises at certificates that Envoy's library takes and this one does not."""


class CertificateSource:
    """A Source of callers: `find` gives who has a certificate. Envoy looks at its times when a connection
    begins, and connections may last: so its end is looked at here, too."""

    kind = "certificate"

    def __init__(self, find: Callable[[Certificate], Principal]) -> None:
        self._find = find

    def __call__(self, call: Call) -> Principal | None:
        """Raises TokenExpired."""
        header = call.header(CERTIFICATE)
        if not header:
            return None
        found = self._find(_certificate(header))
        if found.expires is not None and found.expires <= time.time():
            raise TokenExpired
        return found


@lru_cache(maxsize=1024)
def _certificate(header: bytes) -> Certificate:
    found = _CERT.match(header)
    if found is None:
        return Certificate()
    try:
        return read(unquote_to_bytes(found[1]))
    except _UNREADABLE:
        return Certificate()  # whoever has it is nobody in particular


def read(pem: bytes) -> Certificate:
    """The names of a certificate, and its end. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(pem)
    uris: list[str] = []
    names: list[str] = []
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        uris = found.get_values_for_type(x509.UniformResourceIdentifier)
        names = found.get_values_for_type(x509.DNSName)
    return Certificate(
        subject=certificate.subject.rfc4514_string(),
        uris=tuple(uris),
        names=tuple(names),
        expires=certificate.not_valid_after_utc.timestamp(),
    )
