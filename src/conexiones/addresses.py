"""HOST:PORT, as people write it, and several of them with commas between them."""

import re
from ipaddress import AddressValueError, IPv6Address, ip_address
from socket import SOCK_STREAM, getaddrinfo

_SCHEME = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_ENCRYPTED = {"https", "grpcs"}
_GIVE = "give HOST:PORT, such as localhost:50051."


def split(text: str, *, any_port: bool = False) -> tuple[str, int]:
    """The host (an IPv6 address without its brackets) and the port. Port 0, which means any that is free, is
    one only with `any_port`.

    Raises ValueError, whose text is a sentence that says what is wrong and what to write instead.
    """
    if not text.strip():
        raise ValueError(f"The address is empty: {_GIVE}")
    if url := _SCHEME.fullmatch(text.strip()):
        raise ValueError(_no_url(text, url["scheme"], url["rest"]))
    if not text.isprintable() or re.search(r"[\s/?#@,]", text):
        raise ValueError(f"The address {text!r} is not of the form HOST:PORT, such as localhost:50051.")
    host, port = _parts(text)
    if host and not port:
        place = f"[{host}]" if ":" in host else host
        raise ValueError(f"The address {text!r} has no port: give HOST:PORT, such as {place}:50051.")
    if not host:
        raise ValueError(f"The address {text!r} has no host: {_GIVE}")
    if not (port.isascii() and port.isdigit()):
        raise ValueError(f"The port of the address {text!r} is not a number: {_GIVE}")
    least = 0 if any_port else 1
    if len(port) > 9 or not least <= int(port) <= 65535:
        raise ValueError(f"The address {text!r} has the port {port[:9]}: ports are {least} to 65535.")
    return host, int(port)


def several(text: str) -> tuple[str, ...]:
    """The addresses in "HOST:PORT,HOST:PORT", as they are written. Raises ValueError as `split` does."""
    found = tuple(text.split(","))
    for address in found:
        split(address)
    return found


def loopback(text: str) -> list[str]:
    """The IP addresses of a host that is this machine; empty if any of them is another one's, or if the host
    is not known. Names are looked up. Raises ValueError for an address that is none."""
    host, port = split(text)
    try:
        found = [str(one[4][0]) for one in getaddrinfo(host, port, type=SOCK_STREAM)]
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(found)) if all(ip_address(one).is_loopback for one in found) else []


def _parts(text: str) -> tuple[str, str]:
    """Host and port, each of which may be empty."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or not _is_ipv6(host):
            raise ValueError(f"The address {text!r} is not of the form [IPV6]:PORT, such as [::1]:50051.")
        return host, rest[1:]
    if text.count(":") > 1:
        host, _, port = text.rpartition(":")
        shown = "[::1]:50051"
        if _is_ipv6(text):
            shown = f"[{text}]:50051"
        elif _is_ipv6(host):
            shown = f"[{host}]:{port}"
        raise ValueError(f"In the address {text!r}, an IPv6 address needs brackets, as in {shown}.")
    host, _, port = text.partition(":")
    return ("", host) if host.isdigit() and not port else (host, port)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _no_url(text: str, scheme: str, rest: str) -> str:
    place = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2] or "localhost"
    if not re.search(r":\d+$", place):
        place += ":50051"
    tls = ", and turn TLS on" if scheme.lower() in _ENCRYPTED else ""
    return f"The address {text!r} is a URL: give HOST:PORT, such as {place}{tls}."
