"""What the headers of a request ask for, by RFC 9110: conditions, ranges, content negotiation."""

import re
from functools import lru_cache

from conexiones.image_formats import media_type

_ETAG = re.compile(r'(?:W/)?("[^"]*")')
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)

_MAX_ACCEPT = 1024
"""The most bytes of Accept and Accept-Encoding that are read. Those of browsers have some hundred."""

_OFFERED = {media_type(format): format for format in ("WEBP", "AVIF")}
"""Formats that only clients which name them get. WEBP is first, because it is made faster."""


def none_match(condition: str, etag: str) -> bool:
    """Whether If-None-Match, which compares weakly (section 13.1.2), has the entity tag."""
    return condition.strip() == "*" or etag in _ETAG.findall(condition)


def byte_range(header: str, if_range: str, *, size: int, etag: str) -> tuple[int, int] | None:
    """The one range asked for, as its start and end (not included). It is empty if the file ends before it.

    None stands for the whole file: the header names no range, or more than one, or is malformed, or If-Range
    names other bytes than those the file has now (section 14).
    """
    found = _RANGE.fullmatch(header)
    if not found or (if_range or etag).strip() != etag:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return max(0, size - int(suffix)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size


def negotiated(accept: str) -> str:
    """The format for an Accept header (section 12.5.1): WEBP or AVIF if it is named, and "" if neither is.
    If both are named, it is the one with the higher weight, or WEBP if the weights are equal.

    A wildcard does not count: a client that sends only that may not know these formats.
    """
    return _negotiated(accept[:_MAX_ACCEPT]) if accept else ""


@lru_cache(maxsize=128)  # there are few browsers
def _negotiated(accept: str) -> str:
    likes = {}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        likes[media] = _weight(parameters)
    best, found = 0.0, ""
    for media, format in _OFFERED.items():
        weight = likes.get(media, 0.0)
        if weight > best:
            best, found = weight, format
    return found


def accepts(header: str, coding: str) -> bool:
    """Whether Accept-Encoding (section 12.5.3) names a content coding, other than to refuse it with q=0."""
    for part in header[:_MAX_ACCEPT].lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name == coding:
            return _weight(parameters) > 0
    return False


def _weight(parameters: list[str]) -> float:
    """The weight in q=…, with or without spaces around the sign: 0 if it is no number, 1 if there is none."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.rstrip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
