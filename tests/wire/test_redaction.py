"""What is secret is shown nowhere, however it is sent."""

import base64

import pytest

from conexiones.wire.contract import Contract
from conexiones.wire.decode import decoded
from conexiones.wire.events import Header
from conexiones.wire.headers import noted
from conexiones.wire.redaction import HIDDEN, shown, without

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("Authorization", f"Bearer {SECRET}", f"Bearer {HIDDEN}"),
        ("authorization", f"Basic {base64.b64encode(SECRET.encode()).decode()}", f"Basic {HIDDEN}"),
        ("authorization", f"{SECRET} {SECRET}", HIDDEN),
        ("authorization", SECRET, HIDDEN),
        ("Proxy-Authorization", f"Digest username={SECRET}", f"Digest {HIDDEN}"),
        ("cookie", f"a={SECRET}; b={SECRET}", f"a={HIDDEN}"),
        ("Set-Cookie", SECRET, HIDDEN),
        ("X-Auth-Token", SECRET, HIDDEN),
        ("api_key", SECRET, HIDDEN),
        ("x-amz-security-token", SECRET, HIDDEN),
        ("x-forwarded-client-cert", SECRET, HIDDEN),
        ("referer", f"https://me:{SECRET}@host/?a=b", f"https://{HIDDEN}@host/?a=b"),
        ("referer", f"https://host/?x&access_token={SECRET}#a", f"https://host/?x&access_token={HIDDEN}#a"),
        (":path", f"/images/1?X-Amz-Signature={SECRET}&w=5", f"/images/1?X-Amz-Signature={HIDDEN}&w=5"),
        ("x-request-id", "5", "5"),
        ("etag", '"5"', '"5"'),
        (":path", "/images/1?width=5&monkey=1", "/images/1?width=5&monkey=1"),
    ],
)
def test_values_of_headers(name: str, value: str, left: str) -> None:
    assert shown(Header(name, value)).value == left


def test_what_a_header_means_has_no_secret_either() -> None:
    header = shown(noted("grpc-message", "see%20/?ticket%3Dabc%20cnt%5F0123456789"))
    assert header.note == f"see /?ticket={HIDDEN} cnt_{HIDDEN}"


def test_a_value_of_several_lines() -> None:
    request = f"GET / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer\r\n\t{SECRET}\r\n {SECRET}\r\n\r\n"
    parts = list(decoded(request.encode(), "http1", Contract()))
    assert SECRET not in repr(parts)


def test_long_texts_take_linear_time() -> None:
    for text in ("?" * 1_000_000, "?a-" * 300_000, "//" * 500_000, "//a" * 300_000 + "@"):
        assert len(without(text)) <= len(text) + len(HIDDEN)
