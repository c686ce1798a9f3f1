"""Kinds of values that commands take."""

import re
from datetime import datetime, timedelta
from typing import Any

import click

_AGE = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SIZE = re.compile(r"(\d+)\s*([a-z]*)")
_SIZES = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SIZES |= {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601 (local time if it has no zone), or an age such as 90s, 15m, 12h, 7d or 2w."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            if age := _AGE.fullmatch(value):
                return datetime.now().astimezone() - timedelta(**{_UNITS[age[2]]: int(age[1])})
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither a time such as 2026-01-31T12:00 nor an age such as 12h.", param, ctx
            )


class Span(click.ParamType[timedelta]):
    """A length of time such as 90s, 15m, 1h, 90d or 2w."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            span = _AGE.fullmatch(value)
            found = timedelta(**{_UNITS[span[2]]: int(span[1])}) if span else timedelta()
        except OverflowError:
            found = timedelta()
        if not found:
            self.fail(f"{value!r} is no length of time such as 15m, 1h or 90d.", param, ctx)
        return found


class Size(click.ParamType[int]):
    """A number of bytes such as 500000, 64MiB or 10GB; `least` is the smallest that is taken."""

    name = "size"

    def __init__(self, *, least: int = 0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        size = _SIZE.fullmatch(value.strip().lower())
        if not size or size[2] not in _SIZES or int(size[1][:20]) * _SIZES[size[2]] >= 2**63:
            self.fail(f"{value!r} is no size such as 500000, 64MiB or 10GB.", param, ctx)
        found = int(size[1]) * _SIZES[size[2]]
        if found < self._least:
            self.fail(f"{value!r} is too small: give at least {self._least}.", param, ctx)
        return found


class Words(click.ParamType[tuple[str, ...]]):
    """Words between commas, each of which is one of some."""

    name = "words"

    def __init__(self, *known: str) -> None:
        self._known = known

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        words = tuple(dict.fromkeys(word for word in re.split(r"[,\s]+", value) if word))
        same = {known.lower(): known for known in self._known}
        wrong = next((word for word in words if word.lower() not in same), None)
        if not words or wrong is not None:
            self.fail(f"{wrong or value!r} is none of {', '.join(self._known)}.", param, ctx)
        return tuple(same[word.lower()] for word in words)
