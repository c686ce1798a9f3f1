"""Which keys are taken from a key set, and what is said of those that cannot be read."""

import json
from pathlib import Path

import pytest

from conexiones.transport.process.jwt_keys import MAX_BYTES, is_private, read
from tests.support.issuer import Issuer


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_public_keys_for_signatures(tmp_path: Path) -> None:
    rsa, _, *points = Issuer().keys()
    ec = points[0]
    others = [
        {"kty": "oct", "k": "c2VjcmV0"},  # a shared secret: whoever reads the set could sign
        {**rsa, "use": "enc"},
        Issuer(bits=1024).keys()[0],
        {**rsa, "n": "?"},
        {**ec, "x": "AA"},
        {**ec, "crv": "secp256k1"},
        {"kty": "RSA"},
        "no key",
    ]
    private = {**rsa, "d": "c2VjcmV0", "x5c": ["?"]}
    found = read(written(tmp_path / "keys", json.dumps({"keys": [*others, private, *points]})))
    assert found == [{name: value for name, value in rsa.items() if name != "use"}, *points]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "are no JWK set"),
        ("[]", "are no JWK set"),
        ('{"keys": {}}', "are no JWK set"),
        ('{"keys": []}', "has no key with which a JWT could be verified"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "has no key with which a JWT could be verified"),
        ("[" * 100_000, "are no JWK set"),
        (" " * MAX_BYTES + '{"keys": []}', "are no JWK set"),
    ],
)
def test_what_is_none(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(written(tmp_path / "keys", text))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/keys", "http://[::1", "https://127.0.0.1:1/", "http://"])
def test_what_cannot_be_read(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="The JWT keys cannot be read: "):
        read(url)
    with pytest.raises(ValueError, match="no such file"):
        read(str(tmp_path / "none"))


def test_who_could_change_what_a_url_says() -> None:
    private = {"https://a.example/keys", "http://127.0.0.1/keys", "http://localhost:1/", "HTTP://[::1]:1/"}
    assert all(map(is_private, private))
    assert not any(
        map(is_private, ("http://a.example", "http://127.0.0.1.a.example/", "http://[::1", "http://"))
    )
