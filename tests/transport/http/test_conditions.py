"""Headers of RFC 9110, as clients send them and as nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conexiones.transport.http.conditions import accepts, byte_range, negotiated, none_match

ETAG = '"abc"'

headers = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=60),
    st.lists(st.sampled_from([*'bytes=0123456789-,;"W/*q=.x ', "image/webp", "gzip", "q=0"])).map("".join),
)


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        (ETAG, True),
        ("*", True),
        (" * ", True),
        (f"W/{ETAG}", True),
        (f'"x", {ETAG}', True),
        (f'"x",W/{ETAG} ,"y"', True),
        ('"x, y", "z"', False),
        ("", False),
        ("abc", False),
        ('"ABC"', False),
        ('"abc', False),
        ('"*"', False),
        ('"abc-gzip"', False),
    ],
)
def test_if_none_match(condition: str, matches: bool) -> None:
    assert none_match(condition, ETAG) is matches


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("BYTES=1-2", (1, 3)),
        ("bytes= 1-2 ", (1, 3)),
        ("bytes=99-99", (99, 100)),
        ("bytes=9-8", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes", None),
        ("", None),
        ("lines=0-1", None),
        ("bytes=0-1;x", None),
        ("bytes=+1-2", None),
        ("bytes=1--2", None),
        ("bytes=²-³", None),
        (f"bytes={'9' * 19}-", None),
    ],
)
def test_range(header: str, found: tuple[int, int] | None) -> None:
    assert byte_range(header, "", size=100, etag=ETAG) == found


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", f"bytes={'9' * 18}-"])
def test_a_range_that_the_file_does_not_reach_is_empty(header: str) -> None:
    found = byte_range(header, "", size=100, etag=ETAG)
    assert found is not None
    assert found[0] >= found[1]


@pytest.mark.parametrize(
    ("if_range", "applies"),
    [
        ("", True),
        (ETAG, True),
        (f" {ETAG} ", True),
        (f"W/{ETAG}", False),  # it compares strongly
        ('"other"', False),
        ("*", False),
        ("Sat, 28 Nov 2026 17:00:00 GMT", False),
    ],
)
def test_if_range(if_range: str, applies: bool) -> None:
    assert byte_range("bytes=1-2", if_range, size=100, etag=ETAG) == ((1, 3) if applies else None)


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "WEBP"),
        ("image/webp", "WEBP"),
        ("IMAGE/WebP", "WEBP"),
        ("image/avif", "AVIF"),
        ("image/avif, image/webp;q=0.9", "AVIF"),
        ("image/avif;q=0.5 , image/webp ; q=0.4", "AVIF"),
        ("image/webp;q=0", ""),
        ("image/webp;q=0.000, image/avif;q=0", ""),
        ("image/webp; q = 0", ""),
        ("image/webp;q", ""),
        ("image/webp;q=x, image/avif;q=0.1", "AVIF"),
        ("image/webp;q=nan", ""),
        ("image/webp;level=1;q=0.5", "WEBP"),
        ("*/*", ""),
        ("image/*", ""),
        ("", ""),
        (",,;;,", ""),
        ("image/webpx", ""),
    ],
)
def test_accept(accept: str, format: str) -> None:
    assert negotiated(accept) == format


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip, deflate, br, zstd", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, br", False),
        ("gzip; q = 0", False),
        ("gzip ; q=0", False),
        ("gzip;Q=0", False),
        ("gzip;q=-1", False),
        ("gzip;q=x", False),
        ("gzip;q=2", True),
        ("x-gzip", False),
        ("*", False),
        ("identity", False),
        ("", False),
        (";;,,", False),
    ],
)
def test_accept_encoding(header: str, accepted: bool) -> None:
    assert accepts(header, "gzip") is accepted


@given(headers, headers, st.integers(0, 1000))
def test_no_header_does_harm(first: str, second: str, size: int) -> None:
    none_match(first, ETAG)
    accepts(first, "gzip")
    assert negotiated(first) in {"", "WEBP", "AVIF"}
    found = byte_range(first, second, size=size, etag=ETAG)
    if found is not None:
        assert found[0] >= 0
        assert found[1] <= size
