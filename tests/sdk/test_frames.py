"""Frames of downloads, read and written beside protobuf: the same as protobuf reads and writes them."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageResponse, Image, RenditionInfo
from conexiones.sdk.frames import Frame
from conexiones.services.payload import WithPayload
from conexiones.transport.rpc.codecs import JSON, PROTOBUF
from conexiones.transport.rpc.envelopes import envelope

sizes = st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 1 << 20])
messages = st.builds(
    DownloadImageResponse,
    image=st.none() | st.builds(Image, id=st.text(max_size=200), size_bytes=st.integers(0, 2**40)),
    offset=st.integers(-(2**63), 2**63 - 1),
    crc32c=st.integers(0, 2**32 - 1),
    rendition=st.none() | st.builds(RenditionInfo, width=st.integers(0, 2**20)),
)


@given(messages, sizes)
def test_they_are_read_wherever_the_bytes_are(message: DownloadImageResponse, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    beside = b"".join(WithPayload(message, data[:size]).parts())
    before = message.SerializeToString()
    message.data = data[:size]
    for raw in (message.SerializeToString(), beside):
        found = Frame(raw)
        assert found.data == message.data
        assert not found.message.data
        assert found.message.SerializeToString() == before


@given(messages, sizes)
def test_they_are_sent_as_protobuf_would(message: DownloadImageResponse, size: int) -> None:
    given = WithPayload(message, bytes(size))
    expected = DownloadImageResponse()
    expected.CopyFrom(message)
    expected.data = bytes(size)
    sent = envelope(PROTOBUF.encode(given))
    assert sent[:5] == bytes([0]) + (len(sent) - 5).to_bytes(4)
    assert DownloadImageResponse.FromString(sent[5:]) == expected
    assert JSON.encode(given) == JSON.encode(expected)


@given(messages, st.binary(max_size=300), st.data())
def test_what_is_read_protobuf_reads_too(
    message: DownloadImageResponse, content: bytes, draw: st.DataObject
) -> None:
    """However it is cut off or changed: hostile bytes are no other frame here than there."""
    message.data = content
    raw = bytearray(message.SerializeToString())
    for _ in range(draw.draw(st.integers(0, 3))):
        if raw:
            raw[draw.draw(st.integers(0, len(raw) - 1))] = draw.draw(st.integers(0, 255))
    cut = bytes(raw[: draw.draw(st.integers(0, len(raw)))])
    try:
        found = Frame(cut)
    except DecodeError:
        return
    read = DownloadImageResponse.FromString(cut)
    assert bytes(found.data) == read.data
    read.ClearField("data")
    assert found.message == read


def test_every_frame_that_is_cut_off_is_refused_or_another_whole_one() -> None:
    raw = DownloadImageResponse(offset=5, data=b"x" * 300, crc32c=7).SerializeToString()
    for size in range(len(raw)):
        try:
            expected = DownloadImageResponse.FromString(raw[:size])
        except DecodeError:
            with pytest.raises(DecodeError):
                Frame(raw[:size])
        else:
            assert bytes(Frame(raw[:size]).data) == expected.data
