"""One table of settings, from which come the environment variables, the flags of `conexiones serve` and
docs/settings.md.

`max_pixels` is CONEXIONES_MAX_PIXELS in the environment and --max-pixels as a flag; flags take precedence.
Every rule about a single setting is checked here, and nothing else in the server reads the environment. The
settings that depend on the memory are fitted to it (budgets.py).
"""

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from conexiones import setting_values as to
from conexiones.budgets import LEAST, Budgets, DoesNotFit, fitted
from conexiones.machine import memory_limit, total_memory

PREFIX = "CONEXIONES_"


class SettingsError(ValueError):
    """A setting has an unusable value. The text is one sentence that names the setting and says what it
    takes."""


def _setting(read: Any, default: str, says: str, *, secret: bool = False) -> Any:
    """A row of the table: the function that reads its text, the text of its default, and its purpose. One
    that is `secret` may have a password, and is never shown."""
    return field(
        default=read(default) if default else None,
        metadata={"read": read, "text": default, "says": says, "secret": secret},
        repr=not secret,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a server, read and checked."""

    address: str = _setting(
        to.text, "127.0.0.1:50051", "Where to listen, HOST:PORT; port 0 takes a free one."
    )
    data_dir: Path = _setting(
        to.path,
        "~/.local/share/conexiones",
        "The data folder, for users and images. Only one server at a time can use it. Without a meaning with"
        " `database`.",
    )
    database: str | None = _setting(
        to.database,
        "",
        "A PostgreSQL database in place of the data folder, which several servers can use at once:"
        " postgresql://USER:PASSWORD@HOST:PORT/DATABASE. With `blobs`. Give it in the environment if it has a"
        " password: flags are seen by others.",
        secret=True,
    )
    database_direct: str | None = _setting(
        to.database,
        "",
        "The same database without the pooler that stands at `database`, such as PgBouncer in transaction"
        " mode.",
        secret=True,
    )
    blobs: str | None = _setting(
        to.bucket,
        "",
        "Where the bytes of images are with `database`: s3://BUCKET/PREFIX. The credentials are those of"
        " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or of the machine.",
    )
    s3_endpoint: str | None = _setting(
        to.endpoint, "", "The URL of an S3 server other than Amazon's, such as http://127.0.0.1:8333."
    )
    s3_region: str | None = _setting(to.text, "", "The region of the bucket.")
    s3_path_style: bool | None = _setting(
        to.flag,
        "",
        "Whether the bucket stands in the path of URLs, rather than in the host; by default with"
        " `s3_endpoint`.",
    )
    cache_dir: Path = _setting(
        to.path,
        "~/.cache/conexiones",
        "With `database`: a folder for copies and renditions, of which nothing has to survive. Each server"
        " has a folder of its own in it.",
    )
    cache_size: int = _setting(
        to.size, "4GiB", "Disk space in `cache_dir` for copies of images that are being decoded."
    )
    names: tuple[str, ...] = _setting(
        to.words,
        "",
        "Host names under which browsers reach the server, separated by commas; `*` for any. Addresses,"
        " `localhost` and the machine's own name need not be listed.",
    )
    trusted_proxies: int = _setting(
        to.number,
        "0",
        "How many proxies in front of the server add to X-Forwarded-For; 0: the header is ignored.",
    )
    proxy_protocol: bool = _setting(
        to.flag,
        "false",
        "Every connection begins with the PROXY protocol, which names the client.",
    )
    tls_cert: Path | None = _setting(
        to.path,
        "",
        "Certificate chain (PEM). With `tls_key` it turns on TLS, and HTTP/3 on the same port.",
    )
    tls_key: Path | None = _setting(to.path, "", "Private key (PEM) of `tls_cert`.")
    tls_client_ca: Path | None = _setting(
        to.path, "", "CA (PEM) that must have signed the clients' certificates (mTLS). Turns HTTP/3 off."
    )
    auth: str = _setting(
        to.auth,
        "",
        "Who may call: `required`, those with a token, a certificate or another credential; `none`,"
        " everybody. By default none on loopback, and required elsewhere.",
    )
    anonymous_scopes: tuple[str, ...] = _setting(
        to.scopes,
        "",
        "What callers without a credential may do if others need one, such as `read` for a public gallery;"
        " separated by commas.",
    )
    new_admin_token: bool = _setting(
        to.flag,
        "false",
        "Make a new token for the administrator if the one in the data folder's file `admin-token` is missing"
        " or does not work.",
    )
    certificate_rules: Path | None = _setting(
        to.path,
        "",
        "Rules (TOML) that say what the holder of which client certificate may do. Without them, every"
        " certificate of `tls_client_ca` has all scopes.",
    )
    jwt_issuer: str | None = _setting(
        to.text, "", "The issuer (`iss`) whose JWTs let callers in. With `jwt_audience` and `jwt_keys`."
    )
    jwt_audience: tuple[str, ...] = _setting(
        to.words, "", "Audiences (`aud`), one of which a JWT has to have; separated by commas."
    )
    jwt_keys: str | None = _setting(to.keys, "", "The issuer's keys, a JWK set: a file, or an https URL.")
    jwt_subject_claim: str = _setting(to.text, "sub", "The claim that says who has a JWT.")
    jwt_scopes_claim: str = _setting(
        to.text,
        "scope",
        "The claim with the scopes, as a list or separated by spaces. Others than ours are ignored.",
    )
    jwt_own: bool = _setting(
        to.flag, "true", "Whether callers with a JWT see and touch only what they have stored."
    )
    insecure: bool = _setting(
        to.flag,
        "false",
        "Allow listening without TLS, or without credentials, on an address other than loopback.",
    )
    admin_address: str | None = _setting(
        to.text,
        "",
        "Where to serve `/metrics`, `/livez` and `/readyz` to those who run the server: HOST:PORT, or"
        " `unix:/path` for a socket of this user alone. By default, nowhere.",
    )
    admin_open: bool = _setting(
        to.flag,
        "false",
        "Allow `admin_address` to be other than loopback. Whoever reaches it may read what it serves: it has"
        " neither TLS nor credentials.",
    )
    quota_bytes: int | None = _setting(
        to.size,
        "",
        "Bytes that the images of each owner may have together, unless its token says otherwise; without it"
        " any number. What is stored without an owner does not count.",
    )
    quota_images: int | None = _setting(to.count, "", "The same for the number of images of each owner.")
    quota_uploads: int | None = _setting(
        to.count,
        "",
        "The same for the number of resumable uploads that each owner may have open at a time.",
    )
    rate_calls: float | None = _setting(
        to.rate,
        "",
        "Calls a second that a caller may make whose token says nothing of it; by default, any number. Five"
        " seconds' worth may come at once.",
    )
    rate_bytes: int | None = _setting(
        to.size, "", "Bytes a second that such a caller may send and get together, such as 4MiB."
    )
    anonymous_rate_calls: float | None = _setting(
        to.rate,
        "",
        "Calls a second that all callers at one address may make who show no token, or a link.",
    )
    anonymous_rate_bytes: int | None = _setting(
        to.size, "", "Bytes a second that all such callers at one address may send and get together."
    )
    audit_log: Path | None = _setting(
        to.path,
        "",
        "A file to which a JSON line is appended for each change and for each call that is refused access."
        " SIGHUP opens it again.",
    )
    access_log: str | None = _setting(
        to.lines,
        "",
        "A file to which a line is appended for each call that has ended; `-` for standard output. SIGHUP"
        " opens it again.",
    )
    cors_origins: tuple[str, ...] = _setting(
        to.words,
        "",
        "Origins of web pages that may call, separated by commas; `*` for any. CORS is off by default.",
    )
    reflection: bool = _setting(to.flag, "true", "Serve gRPC reflection.")
    memory: int | None = _setting(
        to.size,
        "",
        "Memory of all processes of the server together. By default, what the container (cgroup) allows, and"
        " at most a quarter of the machine's. Where it is small, the defaults of other settings are less.",
    )
    max_message_bytes: int = _setting(to.size, "64MiB", "The largest message, in bytes.")
    max_image_bytes: int = _setting(to.size, "16GiB", "The largest image, in bytes.")
    max_open_uploads: int = _setting(
        to.count,
        "1000",
        "How many resumable uploads may be open at a time. A client has a share of them.",
    )
    max_open_bytes: int = _setting(
        to.size,
        "1024GiB",
        "Bytes that all open uploads may have together: for each, the announced or the received size,"
        " whichever is larger. A client has a share of them.",
    )
    upload_idle_seconds: float = _setting(
        to.seconds,
        "600",
        "How long an open upload may be without its first byte before it expires. One that is idle, or hardly"
        " grows, for this long ends if other clients need its room; 0: neither happens within 24 hours.",
    )
    max_pixels: int = _setting(
        to.count, "1000000000", "Width × height × frames above which an image is refused."
    )
    decode_pixels: int = _setting(
        to.count, "150000000", "Width × height above which no preview or rendition is made."
    )
    decode_seconds: float = _setting(to.seconds, "10", "How long decoding one image may take.")
    decode_memory: int = _setting(to.size, "1GiB", "Memory that decoding one image may take.")
    decode_workers: int = _setting(
        to.count, "2", "The largest number of decoder processes; they start when needed."
    )
    decode_wait_seconds: float = _setting(
        to.seconds,
        "120",
        "How long a call waits for a decoder, in a fair line; then it gets SERVER_BUSY.",
    )
    rendition_cache: int = _setting(
        to.size, "1GiB", "Disk space for cached renditions; the least recently used are removed."
    )
    scrub_days: float = _setting(
        to.days,
        "30",
        "In how many days all stored bytes are read once in the background, and compared with their digests;"
        " 0: never.",
    )
    message_budget: int = _setting(
        to.size,
        "256MiB",
        "Memory for incoming messages of all clients; further messages wait for their turn.",
    )
    stall_seconds: float = _setting(
        to.seconds, "30", "Silence in the middle of a message after which the call is ended."
    )
    least_rate: int = _setting(
        to.size, "8KiB", "Bytes a second at which a message must come, once `stall_seconds` are used up."
    )
    idle_seconds: float = _setting(
        to.seconds,
        "60",
        "How long a connection without calls, or a stream that asks nothing, stays open; 0: for any length of"
        " time.",
    )
    wait_seconds: float = _setting(
        to.seconds, "30", "How long a call waits for a place or for memory, before it gets SERVER_BUSY."
    )
    max_calls: int = _setting(
        to.count, "1000", "Calls that are served at a time, of all clients together; further calls wait."
    )
    max_connections: int = _setting(to.count, "1000", "How many connections may be open at a time.")
    max_connection_age: float = _setting(
        to.seconds,
        "0",
        "How long, in seconds and up to a quarter more, a connection takes new calls; 0 is without an end."
        " Clients then connect again, and find servers that were added to a balancer. Calls in flight go on.",
    )
    grace_seconds: float = _setting(
        to.seconds, "10", "How long calls in flight have to finish after SIGTERM or Ctrl-C."
    )
    log_level: str = _setting(
        to.level,
        "info",
        "The least severe level to log: debug, info, warning or error. `trace` adds Envoy's own debugging,"
        " without the headers of requests.",
    )
    log_format: str = _setting(
        to.log_format,
        "text",
        "The form of the log and the access log: `text` for people, or `json`, one object a line.",
    )

    @classmethod
    def load(
        cls, environ: Mapping[str, str] = os.environ, flags: Mapping[str, str | None] | None = None
    ) -> Self:
        """Reads the settings: flags take precedence over the environment, which does over the defaults.

        Those that the operator has not given are fitted to the memory. Raises SettingsError.
        """
        found = {}
        for row in fields(cls):
            text = (flags or {}).get(row.name)
            source = flag(row)
            if text is None:
                text, source = environ.get(variable(row)), variable(row)
            if not text:
                continue
            try:
                found[row.name] = row.metadata["read"](text)
            except ValueError as error:
                shown = "" if row.metadata["secret"] else f", not {text!r}"
                raise SettingsError(f"{source} {error}{shown}.") from None
        settings = cls(**{"memory": _allowed(), **found})
        try:
            return cls(**fitted({row.name: getattr(settings, row.name) for row in fields(cls)}, found))
        except DoesNotFit as error:
            raise SettingsError(str(error)) from None

    @property
    def places(self) -> str:
        """Where the data are, to be shown."""
        if not self.database:
            return str(self.data_dir)
        return f"{without_password(self.database)} and {self.blobs}"

    @property
    def budgets(self) -> Budgets:
        """The budgets that are no settings."""
        return Budgets.of(memory=self.memory or LEAST, max_calls=self.max_calls)

    def environ(self) -> dict[str, str]:
        """The same settings as environment variables, for a process that is started with them."""
        return {variable(row): _write(getattr(self, row.name)) for row in fields(self)}


def misspelt(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables that are much like that of a setting, and are none, with the one that may be meant. What else
    begins with CONEXIONES_ may be of a client, or of an orchestrator."""
    known = [variable(row) for row in fields(Settings)]
    found = {}
    for name in environ:
        if name.startswith(PREFIX) and name not in known:
            ends = [each.removeprefix(PREFIX) for each in known]
            for end in get_close_matches(name.removeprefix(PREFIX), ends, n=1, cutoff=0.75):
                found[name] = PREFIX + end
    return found


def without_password(url: str) -> str:
    """The URL of a database, to be shown."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{login.partition(':')[0]}{at}{hosts}{parts.path}"


def _allowed() -> int:
    """The memory that a server takes by default."""
    quarter = max(LEAST, total_memory() // 4)
    limit = memory_limit()
    return quarter if limit is None else min(limit, quarter)


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
    """The rows. Each has a `name`; its `metadata` has the `text` of the default and its purpose, `says`."""
    return fields(Settings)
