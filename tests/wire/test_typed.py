"""Bytes as people write them, and what they are taken for."""

import base64
import tracemalloc
from contextlib import suppress

import pytest

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.wire.decode import guessed
from conexiones.wire.events import Undecodable
from conexiones.wire.frames import SETTINGS
from conexiones.wire.typed import MAX_BYTES, MAX_GIVEN, data_of
from tests.wire.made import envelope, frame, request

ANA = GetUserRequest(name="Ana", pow=7).SerializeToString()
DUMP = "00000000  0a 03 41 6e 61 10 07                              |..Ana..|\n00000007"


@pytest.mark.parametrize(
    "written",
    [
        ANA.hex(),
        ANA.hex(" ").upper(),
        ANA.hex(" ", 4),
        ANA.hex(":"),
        "".join(f"\\x{byte:02x}" for byte in ANA),
        ", ".join(f"0x{byte:02X}" for byte in ANA),
        base64.b64encode(ANA).decode(),
        base64.urlsafe_b64encode(ANA).decode().rstrip("="),
        base64.b64encode(ANA[:4]).decode() + base64.b64encode(ANA[4:]).decode(),
        "00000000: 0a03 416e 6110 07                        ..Ana..",
        DUMP,
    ],
)
def test_bytes_may_be_written_in_many_ways(written: str) -> None:
    assert data_of(written.encode(), typed=True) == ANA
    assert data_of(f"\n{written}\r\n".encode()) == ANA


def test_json_may_be_typed_as_it_is() -> None:
    assert data_of(b' {"name": "Ana"}', typed=True) == b' {"name": "Ana"}'


def test_a_file_may_have_the_bytes_themselves() -> None:
    for data in (ANA, b'{"name": "Ana"}', b"\0\0\0\0\0"):
        assert data_of(data) == data
    assert data_of(b"0a03", "raw") == b"0a03"
    assert data_of(b"abcd", "base64") != data_of(b"abcd", "hex")


@pytest.mark.parametrize(
    ("written", "encoding", "says"),
    [
        (b"zz!", "auto", "The bytes are neither hexadecimal nor base64, and no file."),
        (b"abc!", "hex", "The bytes are not hexadecimal."),
        (b"0a0", "auto", "There is an odd number of hexadecimal digits: one is missing, or one too many."),
        (b"0a:0", "hex", "There is an odd number of hexadecimal digits: one is missing, or one too many."),
        (b"a", "base64", "The bytes are not base64."),
        (b" ", "auto", "There are no bytes."),
        (b"", "raw", "There are no bytes."),
        (bytes(MAX_BYTES + 1), "raw", f"There are more bytes than are decoded ({MAX_BYTES})."),
        (b"00" * (MAX_BYTES + 1), "auto", f"There are more bytes than are decoded ({MAX_BYTES})."),
        (b" " * (MAX_GIVEN + 1), "auto", f"More is given than is read ({MAX_GIVEN} bytes)."),
    ],
)
def test_what_is_not_taken(written: bytes, encoding: str, says: str) -> None:
    with pytest.raises(Undecodable) as refused:
        data_of(written, encoding, typed=True)
    assert str(refused.value) == says


@pytest.mark.parametrize("line", [b"00: 0a\n", b"0a\n", b"0x0a, ", b"\\x0a", b"QQ==\n", b"\n ", b"!\n"])
def test_memory_does_not_grow_with_the_number_of_lines(line: bytes) -> None:
    written = line * (200_000 // len(line)) + b"0a"
    tracemalloc.start()
    try:
        with suppress(Undecodable):
            data_of(written, typed=True)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 5 * len(written)


def test_a_dump_ends_where_its_lines_end() -> None:
    assert data_of(b"00: 0a\r\n\r\n02: 0b 0c\r\n") == b"\n\x0b\x0c"
    assert data_of(DUMP.encode() + b"\n\n") == ANA
    with pytest.raises(Undecodable, match="neither"):
        data_of(b"00: 0a\nnothing\n02: 0b", typed=True)


@pytest.mark.parametrize(
    ("data", "protocol"),
    [
        (ANA, "protobuf"),
        (b"\x80\x01\x07", "protobuf"),  # the tag of a field 16
        (envelope(ANA), "grpc"),
        (envelope(ANA)[:-1], "grpc"),
        (envelope(b""), "grpc"),
        (envelope(ANA) + envelope(b"grpc-status: 0\r\n", 0x80), "grpc-web"),
        (envelope(b"grpc-status: 5\r\n", 0x80), "grpc-web"),
        (envelope(ANA) + envelope(b"{}", 2), "connect"),
        (b' {"name": "Ana"}', "connect"),
        (request([ANA]), "http2"),
        (frame(SETTINGS, 0, 0, bytes(6)) + frame(SETTINGS, 1, 0, b""), "http2"),
        (b"POST /a HTTP/1.1\r\n\r\n", "http1"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "http1"),
    ],
)
def test_what_bytes_are_taken_for(data: bytes, protocol: str) -> None:
    assert guessed(data) == protocol
