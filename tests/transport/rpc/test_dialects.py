"""Content types and timeouts: which protocol a request speaks, and how much time it has."""

import pytest

from conexiones.errors import MalformedRequest
from conexiones.transport.rpc.codecs import JSON, PROTOBUF
from conexiones.transport.rpc.protocols import dialect

KNOWN = {
    b"application/grpc": ("grpc", PROTOBUF, b"application/grpc"),
    b"application/grpc+proto": ("grpc", PROTOBUF, b"application/grpc"),
    b"application/grpc+json": ("grpc", JSON, b"application/grpc+json"),
    b"application/proto": ("connect", PROTOBUF, b"application/proto"),
    b"application/json": ("connect", JSON, b"application/json"),
    b"application/connect+proto": ("connect-stream", PROTOBUF, b"application/connect+proto"),
    b"application/connect+json": ("connect-stream", JSON, b"application/connect+json"),
}


@pytest.mark.parametrize("content_type", KNOWN)
@pytest.mark.parametrize("form", [b"%b", b"%b; charset=utf-8", b"%b;charset=utf-8", b" %b ;x"])
@pytest.mark.parametrize("upper", [False, True])
def test_what_is_known(content_type: bytes, form: bytes, upper: bool) -> None:
    given = form % (content_type.upper() if upper else content_type)
    found = dialect(given)
    assert (found.kind, found.codec, found.content_type) == KNOWN[content_type]
    for streams in (False, True):
        carried = {"grpc": True, "connect": not streams, "connect-stream": streams}[found.kind]
        assert found.carries(streams=streams) is carried


@pytest.mark.parametrize(
    ("content_type", "kind", "answered"),
    [
        (b"application/grpc+xml", "grpc", b"application/grpc"),
        (b"application/grpcx", "grpc", b"application/grpc"),
        (b"application/connect+xml", "connect-stream", b"application/connect+xml"),
    ],
)
def test_what_is_not_known_carries_nothing(content_type: bytes, kind: str, answered: bytes) -> None:
    found = dialect(content_type)
    assert found
    assert (found.kind, found.codec, found.content_type) == (kind, None, answered)
    assert not found.carries(streams=False)
    assert not found.carries(streams=True)


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"text/plain",
        b"text/plain; application/json",
        b"application/jsonp",
        b"application/json,application/json",
        b";",
        b"\xff",
    ],
)
def test_what_no_protocol_has(content_type: bytes) -> None:
    assert dialect(content_type) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3600),
        (b"2M", 120),
        (b"3S", 3),
        (b"40m", 0.04),
        (b"50u", 0.00005),
        (b"60n", 0.00000006),
        (b"0S", 0),
        (b"99999999H", 99999999 * 3600),
        (b"00000001S", 1),
    ],
)
def test_time_in_grpc(value: bytes, seconds: float) -> None:
    assert dialect(b"application/grpc").seconds({b"grpc-timeout": value}) == pytest.approx(seconds)


@pytest.mark.parametrize("content_type", [b"application/json", b"application/connect+json"])
@pytest.mark.parametrize(("value", "seconds"), [(b"0", 0), (b"1", 0.001), (b"9999999999", 9999999.999)])
def test_time_in_connect(content_type: bytes, value: bytes, seconds: float) -> None:
    headers = {b"connect-timeout-ms": value, b"connect-protocol-version": b"1"}
    assert dialect(content_type).seconds(headers) == pytest.approx(seconds)


@pytest.mark.parametrize("content_type", KNOWN)
def test_no_time_is_all_the_time(content_type: bytes) -> None:
    assert dialect(content_type).seconds({}) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"1",
        b"S",
        b"1s",
        b"1h",
        b"-1S",
        b"+1S",
        b"1.5S",
        b" 1S",
        b"1S ",
        b"1S\n",
        b"123456789S",
        b"\xb2S",
    ],
)
def test_what_is_no_time_in_grpc(value: bytes) -> None:
    with pytest.raises(MalformedRequest):
        dialect(b"application/grpc").seconds({b"grpc-timeout": value})


@pytest.mark.parametrize(
    "value", [b"", b"1S", b"-1", b"+1", b"1.5", b"1e3", b" 1", b"1\n", b"12345678901", b"\xb2"]
)
def test_what_is_no_time_in_connect(value: bytes) -> None:
    with pytest.raises(MalformedRequest):
        dialect(b"application/json").seconds({b"connect-timeout-ms": value})


@pytest.mark.parametrize("version", [b"", b"0", b"2", b"1.0", b"x"])
def test_another_version_of_connect(version: bytes) -> None:
    with pytest.raises(MalformedRequest):
        dialect(b"application/json").seconds({b"connect-protocol-version": version})


def test_headers_of_the_other_protocol_mean_nothing() -> None:
    assert dialect(b"application/grpc").seconds({b"connect-timeout-ms": b"x"}) is None
    assert dialect(b"application/json").seconds({b"grpc-timeout": b"x"}) is None
