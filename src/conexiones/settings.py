"""One table of settings: it feeds the environment, the flags of `conexiones serve` and docs/settings.md.

`max_pixels` is CONEXIONES_MAX_PIXELS in the environment and --max-pixels as a flag; flags win. Every rule
about one setting alone is checked here; nothing else in the program reads the environment.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

PREFIX = "CONEXIONES_"


class SettingsError(ValueError):
    """A setting that cannot be used: one sentence that names it and says what it takes."""


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    try:
        return words[value.lower()]
    except KeyError:
        raise ValueError("takes true or false") from None


def _path(value: str) -> Path:
    return Path(value).expanduser().absolute()


def _count(value: str) -> int:
    if not re.fullmatch(r"[0-9_]+", value) or int(value) < 1:
        raise ValueError("takes a whole number of at least 1")
    return int(value)


_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def _size(value: str) -> int:
    match = re.fullmatch(r"([0-9]+)\s*([a-z]*)", value.strip().lower())
    if not match or match[2] not in _UNITS or int(match[1]) < 1:
        raise ValueError("takes a size such as 1048576, 64MiB or 16GiB")
    return int(match[1]) * _UNITS[match[2]]


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise ValueError("takes seconds, from 0 to 86400")
    return seconds


def _words(value: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[,\s]+", value) if word)


def _level(value: str) -> str:
    if value.lower() not in {"debug", "info", "warning", "error"}:
        raise ValueError("takes debug, info, warning or error")
    return value.lower()


def _setting(read: Any, default: str, says: str) -> Any:
    """A row of the table: how its text is read, the text of its default, and what it is for."""
    return field(
        default=read(default) if default else None, metadata={"read": read, "text": default, "says": says}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a server, read and checked."""

    address: str = _setting(_text, "127.0.0.1:50051", "Where to listen, HOST:PORT; port 0 takes a free one.")
    data_dir: Path = _setting(
        _path, "~/.local/share/conexiones", "The folder of users and images; one server at a time uses it."
    )
    tls_cert: Path | None = _setting(
        _path, "", "Certificate chain (PEM). With `tls_key`: TLS, and HTTP/3 on the same port."
    )
    tls_key: Path | None = _setting(_path, "", "Private key (PEM) of `tls_cert`.")
    tls_client_ca: Path | None = _setting(
        _path, "", "CA (PEM) that clients' certificates must come from (mTLS). Turns HTTP/3 off."
    )
    insecure: bool = _setting(
        _flag, "false", "Allow to listen without TLS on an address that is not loopback."
    )
    cors_origins: tuple[str, ...] = _setting(
        _words, "", "Origins of web pages that may call, comma separated; `*` for any. None: CORS is off."
    )
    reflection: bool = _setting(_flag, "true", "Serve gRPC reflection.")
    max_message_bytes: int = _setting(_size, "64MiB", "The largest single message.")
    max_image_bytes: int = _setting(_size, "16GiB", "The largest image, sent as a stream.")
    max_open_uploads: int = _setting(_count, "1000", "Resumable uploads that may be open at a time.")
    max_open_bytes: int = _setting(
        _size,
        "1024GiB",
        "Bytes of all open uploads together: of each what it announced, or received if more.",
    )
    max_pixels: int = _setting(
        _count, "1000000000", "Width × height × frames above which an image is refused."
    )
    decode_pixels: int = _setting(
        _count, "150000000", "Width × height above which no preview or rendition is made."
    )
    decode_seconds: float = _setting(_seconds, "10", "Time that one decoding may take.")
    decode_memory: int = _setting(_size, "1GiB", "Memory that one decoding may take.")
    decode_workers: int = _setting(_count, "2", "Processes that decode, at the most; they start when needed.")
    rendition_cache: int = _setting(_size, "1GiB", "Disk for renditions; those used last are kept.")
    message_budget: int = _setting(
        _size, "256MiB", "Memory for messages on their way in, over all clients; more wait for their turn."
    )
    stall_seconds: float = _setting(
        _seconds, "30", "Silence in the middle of a message after which the call is ended."
    )
    max_calls: int = _setting(_count, "1000", "Calls at a time; above it they are answered SERVER_BUSY.")
    max_connections: int = _setting(_count, "1000", "Connections at a time.")
    grace_seconds: float = _setting(
        _seconds, "10", "Time that calls in flight have to finish after SIGTERM or Ctrl-C."
    )
    log_level: str = _setting(_level, "info", "debug, info, warning or error.")

    @classmethod
    def load(
        cls, environ: Mapping[str, str] = os.environ, flags: Mapping[str, str | None] | None = None
    ) -> Self:
        """Reads flags over environment over defaults. Raises SettingsError."""
        values = {}
        for row in fields(cls):
            text = (flags or {}).get(row.name)
            source = flag(row)
            if text is None:
                text, source = environ.get(variable(row)), variable(row)
            if not text:
                continue
            try:
                values[row.name] = row.metadata["read"](text)
            except ValueError as error:
                raise SettingsError(f"{source} {error}, not {text!r}.") from None
        return cls(**values)

    def environ(self) -> dict[str, str]:
        """The same settings as environment variables, for a process that is started with them."""
        return {variable(row): _write(getattr(self, row.name)) for row in fields(self)}


def _write(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def variable(row: "Field[Any]") -> str:
    return PREFIX + row.name.upper()


def flag(row: "Field[Any]") -> str:
    return "--" + row.name.replace("_", "-")


def table() -> "tuple[Field[Any], ...]":
    """The rows: `name`, and in `metadata` the `text` of the default and what it `says`."""
    return fields(Settings)
