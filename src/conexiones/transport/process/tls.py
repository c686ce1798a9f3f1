"""The server's certificates: checked, handed to Envoy, and read again whenever their files change.

Envoy could watch the files itself, but it sees only renames, may read a new certificate beside an old key,
and describes a bad pair in words that few understand. So it reads files that this module writes (SDS), each
of which is replaced as a whole.
"""

import asyncio
import json
import ssl
from functools import partial
from pathlib import Path
from typing import Any

from conexiones.settings import Settings
from conexiones.transport.process.replaced import replace
from conexiones.watched_files import WatchedFiles

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
_PAIR, _CLIENT_CA = "server", "client-ca"


class Secrets:
    """The files that the settings name, and those in a private folder from which Envoy reads them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._cert, self._key = settings.tls_cert, settings.tls_key
        self._ca = settings.tls_client_ca
        self._folder = folder

    def load(self) -> None:
        """Reads the files, checks them and hands them over. Raises ValueError, with a sentence for the user,
        if they are bad: Envoy then keeps what it has."""
        if self._cert is None or self._key is None:
            return
        try:
            cert, key = self._cert.read_text("ascii"), self._key.read_text("ascii")
            ca = self._ca.read_text("ascii") if self._ca else None
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not PEM"
            raise ValueError(f"The certificates cannot be read: {why}.") from error
        self._check(cert, key, ca)
        pair = {"certificate_chain": {"inline_string": cert}, "private_key": {"inline_string": key}}
        self._hand_over(_PAIR, {"tls_certificate": pair})
        if ca:
            self._hand_over(_CLIENT_CA, {"validation_context": {"trusted_ca": {"inline_string": ca}}})

    def _check(self, cert: str, key: str, ca: str | None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A copy, since the files may change meanwhile. It is a file, since OpenSSL reads nothing else.
        pair = self._folder / "pair.pem"
        replace(pair, f"{cert}\n{key}")
        try:
            context.load_cert_chain(pair, password=lambda: "")
        except (ssl.SSLError, ValueError) as error:
            raise ValueError(f"{self._cert} and {self._key} are no certificate and its key.") from error
        finally:
            pair.unlink()
        try:
            if ca:
                context.load_verify_locations(cadata=ca)
        except ssl.SSLError as error:
            raise ValueError(f"{self._ca} is no certificate of a CA.") from error

    def _hand_over(self, name: str, secret: dict[str, Any]) -> None:
        resource = {"@type": _TYPE, "name": name, **secret}
        replace(_file(self._folder, name), json.dumps({"resources": [resource]}))

    def watched(self) -> WatchedFiles:
        """The files, to be handed over again when they change."""
        paths = [path for path in (self._cert, self._key, self._ca) if path]
        return WatchedFiles(paths, partial(asyncio.to_thread, self.load), what="certificates")


def use(context: dict[str, Any], folder: Path) -> None:
    """Makes a common_tls_context take its certificates from the files in the folder."""
    context.pop("tls_certificates")
    context["tls_certificate_sds_secret_configs"] = [_source(folder, _PAIR)]
    if context.pop("validation_context", None):
        context["validation_context_sds_secret_config"] = _source(folder, _CLIENT_CA)


def _source(folder: Path, name: str) -> dict[str, Any]:
    config = {"path_config_source": {"path": str(_file(folder, name))}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": config}


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"
