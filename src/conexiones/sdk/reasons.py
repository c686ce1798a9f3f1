"""Why there is no connection, in plain words instead of gRPC's."""

import asyncio
import re
import ssl
from contextlib import suppress

from conexiones.addresses import split

PROBE_SECONDS = 2.0

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
_CUT = re.compile(r"Socket closed|reset by peer|Broken pipe|hung up", re.IGNORECASE)


def plainly(why: str) -> str:
    for pattern, words in _WORDS:
        if re.search(pattern, why, re.DOTALL):
            return words
    return why


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
