"""The keys of an issuer of JWTs: read from a file or a URL, checked, and handed to Envoy, which verifies the
JWTs.

Envoy could read both itself. But it would take whatever the URL says, and keys that it cannot use are told in
words that few understand. So it reads a filter's configuration (ECDS) that this module writes with the keys
in it, as it does with certificates.
"""

import asyncio
import base64
import binascii
import ipaddress
import json
import logging
import urllib.error
import urllib.request
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conexiones.settings import Settings
from conexiones.transport.chain.jwt import PAYLOAD
from conexiones.transport.process.replaced import replace
from conexiones.watched_files import WatchedFiles

URL_SECONDS = 30.0
"""Time between two looks at a URL."""

FETCH_SECONDS = 10.0
"""How long the server of a URL may take for each step of its answer."""

MAX_BYTES = 1 << 20

LEEWAY_SECONDS = 30
"""How far the issuer's clock may be ahead of ours. What has expired by our clock has expired."""

_TYPE = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_NAME = "jwt"

_CURVES = {"P-256": 32, "P-384": 48, "P-521": 66}
_LEAST_RSA_BYTES = 256

log = logging.getLogger("conexiones.jwt")


class JwtKeys:
    """The keys that the settings name, and the file in a private folder from which Envoy reads them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._has_url = is_url(settings.jwt_keys or "")

    def load(self) -> None:
        """Reads the keys and hands them over. Raises ValueError, with a sentence for the operator."""
        self._hand_over(read(self._settings.jwt_keys or ""))

    def first(self) -> None:
        """The same at the start. A URL that does not answer now may do so later: no JWT is good until then.
        Raises ValueError."""
        try:
            self.load()
        except ValueError as error:
            if not self._has_url:
                raise
            log.warning("%s No JWT lets anybody in until they are read.", error)
            self._hand_over([])

    def _hand_over(self, keys: list[dict[str, Any]]) -> None:
        """Without keys the filter does nothing, and no JWT is good."""
        config: dict[str, Any] = {"@type": _TYPE}
        if keys:
            good = {"provider_name": "issuer"}
            config["providers"] = {"issuer": self._provider(keys)}
            # What is not good comes without a payload, and is refused by the step of the chain that knows
            # other credentials, too.
            either = {"requires_any": {"requirements": [good, {"allow_missing_or_failed": {}}]}}
            config["rules"] = [{"match": {"prefix": "/"}, "requires": either}]
        resource = {
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": _NAME,
            "typed_config": config,
        }
        replace(_file(self._folder), json.dumps({"resources": [resource]}))

    def _provider(self, keys: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "issuer": self._settings.jwt_issuer,
            "audiences": list(self._settings.jwt_audience or ()),
            "local_jwks": {"inline_string": json.dumps({"keys": keys})},
            # By default it would also look into the query, which is in the logs of others.
            "from_headers": [
                {"name": "authorization", "value_prefix": f"{scheme} "}
                for scheme in ("Bearer", "bearer", "BEARER")
            ],
            "forward": True,
            "forward_payload_header": PAYLOAD.decode(),
            "require_expiration": True,
            "clock_skew_seconds": LEEWAY_SECONDS,
        }

    def watched(self) -> WatchedFiles:
        """The keys, to be handed over again when they change."""
        source = self._settings.jwt_keys or ""
        paths = [] if self._has_url else [Path(source)]
        every = URL_SECONDS if self._has_url else None
        return WatchedFiles(paths, partial(asyncio.to_thread, self.load), what="JWT keys", every=every)


def filters(settings: Settings, folder: Path) -> list[dict[str, Any]]:
    """The filter that verifies JWTs, if there are any."""
    if not settings.jwt_keys:
        return []
    source = {"path_config_source": {"path": str(_file(folder))}, "resource_api_version": "V3"}
    return [{"name": _NAME, "config_discovery": {"config_source": source, "type_urls": [_TYPE]}}]


def _file(folder: Path) -> Path:
    return folder / "jwt.json"


def is_url(source: str) -> bool:
    return source.lower().startswith(("https://", "http://"))


def is_private(source: str) -> bool:
    """Whether nobody on the way can put other keys into what a URL says: with https, and on this machine."""
    return source.lower().startswith("https://") or _is_here(source)


def _is_here(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read(source: str) -> list[dict[str, Any]]:
    """The keys of a JWK set (RFC 7517), in a file or at a URL, that verify signatures. Others are left out.

    Raises ValueError, with a sentence for the operator.
    """
    try:
        text = _fetched(source) if is_url(source) else Path(source).read_bytes()
    except urllib.error.HTTPError as error:
        raise ValueError(f"The JWT keys cannot be read: {source} answers {error.code}.") from None
    except (OSError, HTTPException, ValueError) as error:
        raise ValueError(f"The JWT keys cannot be read: {source}: {_why(error)}.") from None
    try:
        found = json.loads(text)["keys"] if len(text) <= MAX_BYTES else None
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise ValueError(f"The JWT keys in {source} are no JWK set.")
    keys = [public for key in found if isinstance(key, dict) and (public := _public(key))]
    if not keys:
        raise ValueError(
            f"{source} has no key with which a JWT could be verified: it takes RSA of at least 2048 bits, EC"
            " on P-256, P-384 or P-521, and Ed25519."
        )
    return keys


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Whoever is asked for keys has to have them: a redirect could lead past https."""

    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


def _fetched(url: str) -> bytes:
    """Raises OSError, HTTPException, ValueError."""
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if _is_here(url):
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    with opener.open(url, timeout=FETCH_SECONDS) as reply:
        found: bytes = reply.read(MAX_BYTES + 1)
        return found


def _public(key: dict[str, Any]) -> dict[str, Any] | None:
    """The public members of a key that verifies signatures; None for others, such as shared secrets, with
    which whoever knows them could sign."""
    if key.get("use", "sig") != "sig":
        return None
    kind = key.get("kty")
    members: tuple[str, ...]
    if kind == "RSA":
        good = len(_bytes(key.get("n")).lstrip(b"\0")) >= _LEAST_RSA_BYTES and _bytes(key.get("e")) != b""
        members = ("n", "e")
    elif kind == "EC":
        size = _CURVES.get(str(key.get("crv")))
        good = len(_bytes(key.get("x"))) == len(_bytes(key.get("y"))) == size
        members = ("crv", "x", "y")
    elif kind == "OKP":
        good = key.get("crv") == "Ed25519" and len(_bytes(key.get("x"))) == 32
        members = ("crv", "x")
    else:
        return None
    named = [name for name in ("kid", "alg") if isinstance(key.get(name), str)]
    return {"kty": kind, **{name: key[name] for name in (*members, *named)}} if good else None


def _bytes(text: object) -> bytes:
    """The bytes of base64url; none for what is not."""
    try:
        return base64.urlsafe_b64decode(f"{text}{'=' * (-len(text) % 4)}") if isinstance(text, str) else b""
    except (ValueError, binascii.Error):
        return b""
