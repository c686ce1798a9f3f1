"""What the texts of settings mean.

Each function raises ValueError, whose text goes on behind the name of the setting, as in "takes a whole
number of at least 1".
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

from conexiones.principals import SCOPES


def text(value: str) -> str:
    return value


def flag(value: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    try:
        return words[value.lower()]
    except KeyError:
        raise ValueError("takes true or false") from None


def path(value: str) -> Path:
    return Path(value).expanduser().absolute()


def count(value: str) -> int:
    if not re.fullmatch(r"[0-9_]+", value) or int(value) < 1:
        raise ValueError("takes a whole number of at least 1")
    return int(value)


def number(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", value):
        raise ValueError("takes a whole number from 0 to 999")
    return int(value)


_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def size(value: str) -> int:
    match = re.fullmatch(r"([0-9]+)\s*([a-z]*)", value.strip().lower())
    if not match or match[2] not in _UNITS or int(match[1]) < 1:
        raise ValueError("takes a size such as 1048576, 64MiB or 16GiB")
    return int(match[1]) * _UNITS[match[2]]


def rate(value: str) -> float:
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if not 0.001 <= rate <= 1e9:
        raise ValueError("takes a number a second, such as 100 or 0.5")
    return rate


def seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise ValueError("takes seconds, from 0 to 86400")
    return seconds


def days(value: str) -> float:
    try:
        days = float(value)
    except ValueError:
        days = -1.0
    if not 0 <= days <= 3650:
        raise ValueError("takes days, from 0 to 3650")
    return days


def words(value: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[,\s]+", value) if word)


def auth(value: str) -> str:
    if value.lower() not in {"none", "required"}:
        raise ValueError("takes none or required")
    return value.lower()


def keys(value: str) -> str:
    return value if re.match("https?://", value, re.IGNORECASE) else str(path(value))


def scopes(value: str) -> tuple[str, ...]:
    scopes = words(value.lower())
    if not set(scopes) <= set(SCOPES):
        raise ValueError(f"takes any of {', '.join(SCOPES)}")
    return scopes


def level(value: str) -> str:
    if value.lower() not in {"trace", "debug", "info", "warning", "error"}:
        raise ValueError("takes trace, debug, info, warning or error")
    return value.lower()


def log_format(value: str) -> str:
    if value.lower() not in {"text", "json"}:
        raise ValueError("takes text or json")
    return value.lower()


def lines(value: str) -> str:
    return value if value == "-" else str(path(value))


def database(value: str) -> str:
    if not re.match("postgres(ql)?://", value):
        raise ValueError("takes a URL such as postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return value


def bucket(value: str) -> str:
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#]*)?", value):
        raise ValueError("takes s3://BUCKET or s3://BUCKET/PREFIX")
    return value.rstrip("/")


def endpoint(value: str) -> str:
    wrong = ValueError("takes a URL such as https://HOST:PORT")
    if not re.fullmatch(r"https?://[^/@?#\s]+/?", value):
        raise wrong
    try:
        _ = urlsplit(value).port
    except ValueError:  # no number, or brackets that do not close
        raise wrong from None
    return value.rstrip("/")
