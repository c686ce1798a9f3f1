"""Why there is no connection, in plain words instead of gRPC's."""

import asyncio
import re
import ssl
from contextlib import suppress
from os import PathLike
from typing import TypeAlias

from conexiones.addresses import split

PROBE_SECONDS = 2.0
File: TypeAlias = str | PathLike[str]

_WORDS = (
    (r"CERTIFICATE_VERIFY_FAILED.*expired", "its certificate has expired"),
    (r"CERTIFICATE_VERIFY_FAILED.*not yet valid", "its certificate is not valid yet"),
    (r"[Hh]ostname .*[Vv]erification|not valid for|do(es)? not match", "its certificate is for another name"),
    (r"CERTIFICATE_VERIFY_FAILED", "its certificate is of a CA that is not trusted here: give ca"),
    (r"WRONG_VERSION_NUMBER", "it does not speak TLS: leave tls, ca and cert out"),
    (r"Unwrap failed|CERTIFICATE_REQUIRED", "it may want a client certificate: give cert and key"),
    (r"security handshaker", "ca, cert or key is not the PEM file that it should be"),
    (r"errors? resolving|lookup failed|Domain name not found", "its host is not known"),
)
_NOT_PEM = re.compile("security handshaker")
_CUT = re.compile(r"Socket closed|reset by peer|Broken pipe|hung up", re.IGNORECASE)


def plainly(why: str, cert: File | None = None, key: File | None = None) -> str:
    """`cert` and `key` are the files of the client's own certificate."""
    if cert and key and _NOT_PEM.search(why) and _do_not_fit(cert, key):
        return "cert and key do not belong together: give the key of that certificate"
    for pattern, words in _WORDS:
        if re.search(pattern, why, re.DOTALL):
            return words
    return why


def _do_not_fit(cert: File, key: File) -> bool:
    try:
        # A key with a password is none for gRPC; this must not ask for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError as error:
        return error.reason == "KEY_VALUES_MISMATCH"
    except (OSError, ValueError):
        pass
    return False


async def of_plaintext(why: str, address: str) -> str:
    """The same for a connection without TLS. If the server hung up, this finds out whether it wants TLS."""
    if _CUT.search(why) and await _speaks_tls(address):
        return "it wants TLS: give tls, or ca with its CA"
    return plainly(why)


async def _speaks_tls(address: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # this only finds out whether it speaks TLS; nothing is sent
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(*split(address), ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
