"""The names of users: none that is empty or too long can be made."""

import pytest

from conexiones.domain.names import MAX_NAME, UserName
from conexiones.errors import EmptyName, NameTooLong


def test_the_shortest_and_the_longest() -> None:
    for text in ("a", "ñ" * MAX_NAME):
        assert UserName(text).text == text


def test_what_is_refused_names_its_field() -> None:
    with pytest.raises(EmptyName) as empty:
        UserName("")
    assert empty.value.field == "name"
    for make in (UserName, UserName.optional):
        with pytest.raises(NameTooLong) as long:
            make("a" * (MAX_NAME + 1), field="user")
        assert (long.value.field, long.value.facts["actual"]) == ("user", MAX_NAME + 1)


def test_an_optional_name_may_be_missing() -> None:
    assert UserName.optional("") is None
    assert UserName.optional(None) is None


def test_a_checked_name_cannot_be_changed() -> None:
    name = UserName("Ana")
    with pytest.raises(AttributeError):
        name.text = ""  # type: ignore[misc]
