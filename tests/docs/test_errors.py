"""docs/errors.md and the error tree say the same, and the tests of the protocols provoke them."""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from conexiones import errors
from conexiones.services.details import details
from conexiones.testing import Server
from tests.support.calls import SETTINGS, bad
from tests.support.clients import CLIENTS
from tests.support.paths import ROOT
from tests.support.wires import faults
from tests.transport.rpc.test_protocols import BUSY, STALLED, provoked, wrong

SERVICES = (
    "services/test_upload_service.py",
    "services/test_small_images.py",
    "services/test_image_service.py",
    "services/test_access.py",
    "server/test_renditions_served.py",
)

# No request alone causes these. Tests of storage, of the server's lifecycle and of its faults do.
ELSEWHERE = {
    "UNKNOWN_HOST",
    "UNKNOWN_ORIGIN",
    "STORAGE_FULL",
    "STORAGE_UNAVAILABLE",
    "SERVER_DRAINING",
    "STREAM_IDLE",
    "BLOB_CORRUPT",
    "CANCELLED",
    "INTERNAL",
    "FORMAT_NOT_GRANTED",
    "QUOTA_EXCEEDED",
    "TICKET_USED_UP",
}

# Errors of conexiones.v1, and of access. The files in SERVICES provoke them, and name them.
UPLOADS_AND_IMAGES = {
    "INVALID_FIELD",
    "SIZE_EXCEEDED",
    "IMAGE_NOT_FOUND",
    "IMAGE_NOT_SMALL",
    "IMAGE_DELETED",
    "UPLOAD_NOT_FOUND",
    "REQUEST_ID_REUSED",
    "OFFSET_MISMATCH",
    "WRITER_FENCED",
    "ETAG_MISMATCH",
    "OFFSET_OUT_OF_RANGE",
    "UPLOAD_ENDED",
    "UPLOAD_INCOMPLETE",
    "TOO_MANY_UPLOADS",
    "UPLOAD_BYTES_EXCEEDED",
    "CHECKSUM_MISMATCH",
    "NO_RENDITION",
    "NO_CREDENTIALS",
    "TOKEN_MISTYPED",
    "TOKEN_UNKNOWN",
    "TOKEN_EXPIRED",
    "TOKEN_REVOKED",
    "LINK_INVALID",
    "LINK_EXPIRED",
    "SCOPE_MISSING",
    "RATE_EXCEEDED",
    "TOKEN_NOT_FOUND",
}


@dataclass(frozen=True, slots=True)
class Row:
    code: str
    http: int
    message: str
    when: str
    details: frozenset[str]


def table() -> dict[str, Row]:
    text = (ROOT / "docs" / "errors.md").read_text()
    rows = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if line.startswith("| `")]
    found = {}
    for reason, code, http, message, when, carried in rows:
        names = frozenset(
            re.findall(
                r"BadRequest|RetryInfo|ImageProblem|MessageTooLarge|OffsetMismatch|WriterFenced|ChecksumMismatch",
                carried,
            )
        )
        found[reason.strip("`")] = Row(code, int(http), message, when, names)
    assert len(found) == len(rows)
    return found


TABLE = table()


def test_the_table_is_the_tree() -> None:
    assert list(TABLE) == list(errors.BY_REASON)
    for reason, row in TABLE.items():
        leaf = errors.BY_REASON[reason]
        assert (row.code, row.message) == (leaf.code.name, leaf.english), reason
        assert ("RetryInfo" in row.details) == (leaf.retry_after is not None), reason


def test_the_details_are_those_that_errors_carry() -> None:
    always = {"ErrorInfo", "LocalizedMessage"}
    for error in (BUSY, STALLED, *wrong()):
        carried = {detail.DESCRIPTOR.name for detail in details(error)}
        assert carried == always | TABLE[error.reason].details, error.reason


def test_the_http_status_is_what_connect_gives(start: Callable[..., Server]) -> None:
    server = start(**SETTINGS)
    calls = [call for call in bad() if not call.streams]
    for call, outcome in zip(calls, CLIENTS["Connect JSON"](server.address, calls), strict=True):
        assert outcome.http == TABLE[call.error.reason].http, call
    for fault in faults():
        # The HTTP method decides before the error does.
        expected = 405 if fault.method != "POST" else TABLE[fault.error.reason].http
        assert fault.http == expected, fault


def test_all_that_clients_can_provoke_is_provoked() -> None:
    assert not provoked() & ELSEWHERE
    assert provoked() | ELSEWHERE | UPLOADS_AND_IMAGES == errors.BY_REASON.keys()
    named = "".join((ROOT / "tests" / name).read_text() for name in SERVICES)
    for reason in UPLOADS_AND_IMAGES:
        assert f'"{reason}"' in named, reason
    others = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    text = "\n".join(path.read_text() for path in others)
    for reason in ELSEWHERE:
        assert reason in text or errors.BY_REASON[reason].__name__ in text, reason


def test_sentences_have_the_facts_that_they_name() -> None:
    """Checked at every place in the code that makes an error."""
    leaves = {leaf.__name__: leaf for leaf in errors.leaves()}
    made = set()
    source = ROOT / "src" / "conexiones"
    for path in source.rglob("*.py"):
        if path == source / "services" / "details.py":
            continue  # its MessageTooLarge is the protobuf message
        tree = ast.parse(path.read_text())
        called = {node.func: node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
        # A class that is passed to a function, which makes the error without facts.
        handed = [argument for call in called.values() if not compares_types(call) for argument in call.args]
        for place in [*called, *raised, *handed]:
            name = place.attr if isinstance(place, ast.Attribute) else getattr(place, "id", "")
            if name not in leaves:
                continue
            made.add(name)
            keywords = called[place].keywords if place in called else []
            given = {keyword.arg for keyword in keywords}
            if None not in given:  # what a **mapping has is seen by test_protocols
                assert facts_of(leaves[name]) <= given, f"{path.name}:{place.lineno}"
    assert made == leaves.keys()


def compares_types(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in {"isinstance", "issubclass"}


def test_both_languages_name_the_same_facts() -> None:
    for leaf in errors.leaves():
        spanish = {name for _, name, _, _ in Formatter().parse(leaf.spanish) if name}
        assert facts_of(leaf) == spanish, leaf.reason


def facts_of(leaf: type[errors.ConexionesError]) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(leaf.english) if name}
