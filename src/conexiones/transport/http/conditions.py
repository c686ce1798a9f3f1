"""What a request's headers ask for, as RFC 9110 has it: conditions, ranges, content negotiation."""

import re

from conexiones.image_formats import media_type

_ETAG = re.compile(r'(?:W/)?("[^"]*")')
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)

_MAX_ACCEPT = 4096
"""Bytes of an Accept header that are looked at."""

_OFFERED = {media_type(format): format for format in ("WEBP", "AVIF")}
"""Formats that are given only to clients that name them. WEBP is made sooner, so it is first."""


def none_match(condition: str, etag: str) -> bool:
    """Whether If-None-Match, which compares weakly (section 13.1.2), has the entity tag."""
    return condition.strip() == "*" or etag in _ETAG.findall(condition)


def byte_range(header: str, if_range: str, *, size: int, etag: str) -> tuple[int, int] | None:
    """The one range asked for, from and to (not included); empty if the file does not reach there.

    None for the whole file: nothing was asked for, or more ranges than one, or what is no range, or a range
    of what the file was before (section 14).
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
    Of both the one that is liked better, or else WEBP.

    A wildcard does not count: clients that send nothing else may well not know these formats.
    """
    likes = {}
    for part in accept[:_MAX_ACCEPT].lower().split(","):
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
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name == coding:
            return _weight(parameters) > 0
    return False


def _weight(parameters: list[str]) -> float:
    """The weight that q=… gives, with spaces around the sign as well; 0 if it is no number, 1 without any."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.rstrip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
