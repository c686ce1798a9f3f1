"""From the claims of a JWT to who has it."""

import time
from typing import Any

import pytest

from conexiones.domain.access.jwt import LAST_TIME, Claims
from conexiones.errors import TokenExpired, TokenUnknown

LATER = int(time.time()) + 10**6


@pytest.mark.parametrize(
    ("given", "scopes"),
    [
        ("read write", {"read", "write"}),
        ("openid profile read", {"read"}),
        (["read", "admin", 5], {"read", "admin"}),
        ("readwrite", set()),
        ("", set()),
        (None, set()),
        (7, set()),
        ({"read": 1}, set()),
    ],
)
def test_scopes(given: object, scopes: set[str]) -> None:
    found = Claims().principal({"sub": "ana", "scope": given, "exp": LATER})
    assert (found.subject, found.owner, found.own) == ("jwt:ana", "jwt:ana", True)
    assert found.scopes == scopes
    assert (found.expires, found.credential) == (float(LATER), "")


def test_other_claims() -> None:
    claims = Claims(subject="email", scopes="roles", own=False)
    found = claims.principal(
        {"sub": "x", "email": "a@b", "roles": ["delete"], "scope": "admin", "exp": LATER}
    )
    assert (found.subject, sorted(found.scopes), found.own) == ("jwt:a@b", ["delete"], False)


@pytest.mark.parametrize("subject", [None, "", 7, ["a"], "a\nb", "\x00", "x" * 257])
def test_who_has_no_name_is_nobody(subject: Any) -> None:
    with pytest.raises(TokenUnknown):
        Claims().principal({"sub": subject, "exp": LATER})


@pytest.mark.parametrize("expires", [None, "later", True, float("inf"), float("nan"), [1]])
def test_all_expire(expires: Any) -> None:
    with pytest.raises(TokenUnknown):
        Claims().principal({"sub": "ana", "exp": expires})


def test_one_for_a_very_long_time() -> None:
    assert Claims().principal({"sub": "ana", "exp": 10**30}).expires == LAST_TIME


def test_one_that_has_expired() -> None:
    with pytest.raises(TokenExpired):
        Claims().principal({"sub": "ana", "exp": time.time() - 1})
