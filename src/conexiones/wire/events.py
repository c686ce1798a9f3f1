"""What was seen on the wire: events, their messages and fields, and the limits of what is kept of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

KEPT_BYTES = 2 << 20
"""Bytes of one message that are kept to be decoded. Of a longer one, what begins there is shown."""
HEAD_BYTES = 24
"""Bytes of a field that are kept to be shown."""
MAX_FIELDS = 1_000
"""Fields of one message, with those of the messages in it, that are shown."""
MAX_DEPTH = 32
"""Messages within messages that are decoded."""
MAX_TEXT = 4_096
"""Characters of a text, or of a message in JSON, that are kept."""
MAX_HEADER_BYTES = 64 << 10
"""Bytes of the headers of one request or reply, decoded."""

Value = bool | int | float | str | bytes | list["Value"] | None


class Undecodable(ValueError):
    """Bytes that are not what they should be, or a contract that cannot be read. The text is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a message, as it is on the wire.

    name: empty if the contract does not have it.
    type: that of the contract, such as "string" or "user.User"; without one, that of the wire.
    value: None for a message. Of a text or bytes, the beginning.
    note: what the value means, such as the name of an enum's number.
    raw: the first bytes on the wire, from the tag on; empty if they are a secret's.
    length: how many there are.
    size: the bytes of a text, of bytes, of packed numbers or of a message, without tag and length.
    """

    number: int
    name: str = ""
    type: str
    value: Value = None
    note: str = ""
    raw: bytes = b""
    length: int = 0
    size: int | None = None
    inner: "Fields | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The fields of a message. `left`: bytes that are not shown as fields, for what is wrong with them or for
    the limits. `problem`: a sentence about what is wrong; empty if nothing is."""

    fields: tuple[Field, ...] = ()
    left: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message: of protobuf, with its fields, or of JSON, with its text."""

    type: str = ""
    fields: Fields | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """`note` says what the value means, such as the name of a status."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one event shows.

    kind: the type of an HTTP/2 frame (SETTINGS, HEADERS, DATA, …); PREFACE; for HTTP/1.1 REQUEST, RESPONSE,
        BODY, CHUNK and TRAILERS; MESSAGE, END (how a stream of gRPC-Web or Connect ends), OPEN, CLOSED and
        BROKEN.
    length: bytes of the frame's content, or of the message, without their prefix.
    details: of an error of Connect, whose JSON has them in base64.
    """

    kind: str
    length: int = 0
    flags: tuple[str, ...] = ()
    facts: Mapping[str, int | str | bool] = field(default_factory=dict)
    headers: tuple[Header, ...] = ()
    message: Message | None = None
    details: tuple[Message, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A part with its place.

    at: seconds since the recording began.
    sent: by the client.
    stream: that of HTTP/2; for HTTP/1.1 the number of the request on its connection; 0 for the connection
        itself.
    """

    at: float
    sent: bool
    connection: int
    stream: int
    part: Part


def problem_of(part: Part) -> str:
    """What is wrong with it; empty if nothing is."""
    if part.problem or part.message is None or part.message.fields is None:
        return part.problem
    return part.message.fields.problem
