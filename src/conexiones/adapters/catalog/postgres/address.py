"""Where the database is, as an operator names it, and what is wrong where it cannot be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import asyncpg  # type: ignore[import-untyped]  # see failures.py

from conexiones.adapters.catalog.postgres.failures import ConnectionLost

SCHEMES = ("postgresql", "postgres")

NOT_UNDERSTOOD = (
    "The URL of the database is not understood: it looks like postgresql://USER:PASSWORD@HOST:PORT/DATABASE,"
    " with % and two hexadecimal digits for other characters than letters, digits and -._~ in a part."
)


@dataclass(frozen=True, slots=True)
class Address:
    """A database by its URL, as libpq has it. With `pooled` a pooler such as PgBouncer stands before it, and
    each transaction has another connection."""

    url: str
    pooled: bool = False

    def __post_init__(self) -> None:
        """ValueError, whose sentence names no password, if it is no such URL."""
        try:
            parts = urlsplit(self.url)
            # Behind the hosts there is an "@" only if a password has characters that end its part.
            sound = parts.scheme in SCHEMES and "@" not in parts.path + parts.query + parts.fragment
            parse_qs(parts.query, strict_parsing=bool(parts.query))
            _ = self.hosts
        except ValueError:
            sound = False
        if not sound:
            raise ValueError(NOT_UNDERSTOOD)

    @property
    def hosts(self) -> list[str]:
        """A URL for each host that is named, separated by commas."""
        parts = urlsplit(self.url)
        login, at, named = parts.netloc.rpartition("@")
        if "," in named:
            return [parts._replace(netloc=f"{login}{at}{host}").geturl() for host in named.split(",")]
        query = parse_qsl(parts.query)
        hosts, ports = (dict(query).get(name, "").split(",") for name in ("host", "port"))
        if len(hosts) == 1:
            return [self.url]
        others = [(name, value) for name, value in query if name not in ("host", "port")]
        # As libpq has it: a port for each host, or one for all.
        each = ports * len(hosts) if len(ports) == 1 else ports
        queries = (
            [*others, ("host", host), *([("port", port)] if port else [])]
            for host, port in zip(hosts, each, strict=True)
        )
        return [parts._replace(query=urlencode(query)).geturl() for query in queries]

    def __str__(self) -> str:
        """The URL without its password and its options, to be shown."""
        parts = urlsplit(self.url)
        login, at, hosts = parts.netloc.rpartition("@")
        user = login.partition(":")[0]
        hosts = hosts or parse_qs(parts.query).get("host", [""])[0]
        return f"{parts.scheme}://{user}{at}{hosts}{parts.path}"


class _InWords(ValueError):
    """A sentence about one address, which stays as it is where another one is asked, too."""


@contextmanager
def in_words(address: Address) -> Iterator[None]:
    """Has what says that a database cannot be reached or used be a ValueError, whose one line says what to
    do."""
    try:
        yield
    except _InWords:
        raise
    except Exception as error:
        # What closed a connection says more than that it was lost.
        causes = [cause for cause in (error.__cause__, error) if cause is not None]
        sentence = next(filter(None, (refusal(cause, address) for cause in causes)), None)
        if sentence is None:
            raise
        raise _InWords(sentence) from error


def refusal(error: BaseException, address: Address) -> str | None:
    """One line for the operator that says why the database cannot be used; None if it is something else."""
    for kinds, sentence in _SENTENCES.items():
        if isinstance(error, kinds):
            said = " ".join(str(error).split()) or type(error).__name__
            return sentence.format(address=address, said=said.rstrip("."))
    return None


# The first that fits is taken: subclasses come first.
_SENTENCES: dict[tuple[type[BaseException], ...], str] = {
    (asyncpg.ClientConfigurationError,): "{address} cannot be used: {said}.",
    (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError): (
        "{address} does not let the user in: {said}."
    ),
    (asyncpg.InvalidCatalogNameError,): "{address} is not there: {said}. CREATE DATABASE makes it.",
    (asyncpg.InvalidSchemaNameError,): (
        "{address} has no schema for the tables: {said}. CREATE SCHEMA makes one."
    ),
    (asyncpg.InsufficientPrivilegeError,): (
        "The user of {address} may not do what the catalog needs: {said}. GRANT CREATE ON SCHEMA lets it make"
        " tables."
    ),
    (asyncpg.DuplicateTableError,): (
        "{address} has tables of something else: {said}. Give the catalog a database of its own, or a schema"
        " with ?search_path=NAME."
    ),
    (asyncpg.TargetServerAttributeNotMatched, asyncpg.ReadOnlySQLTransactionError): (
        "{address} takes no writes: it is a standby, or set to read only. Name the primary, or all hosts of"
        " the cluster separated by commas."
    ),
    (TimeoutError,): "{address} does not answer.",
    (asyncpg.ProtocolViolationError,): (
        "{address} refuses the connection: {said}. Where a pooler such as PgBouncer is, the database itself"
        " has to be named: servers take it as --database-direct."
    ),
    (
        OSError,
        ConnectionLost,
        asyncpg.PostgresConnectionError,
        asyncpg.CannotConnectNowError,
        asyncpg.TooManyConnectionsError,
        asyncpg.AdminShutdownError,
    ): "{address} cannot be reached: {said}.",
    (asyncpg.UndefinedObjectError, asyncpg.InvalidParameterValueError, asyncpg.CantChangeRuntimeParamError): (
        "{address} does not take what the URL sets: {said}."
    ),
    # What is left of the driver's own complaints, such as of certificates and files with passwords.
    (asyncpg.InterfaceError, asyncpg.InternalClientError): "{address} cannot be used: {said}.",
}
