"""The names of users: none that is empty or too long can be made. The names of files: none is a path."""

import pytest

from conexiones.domain.names import MAX_FILE_NAME, MAX_NAME, UserName, file_name
from conexiones.errors import EmptyName, InvalidField, NameTooLong


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


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Málaga.jpg", "Málaga.jpg"),
        (" a  b .jpg ", " a  b .jpg "),
        ("/etc/passwd", "passwd"),
        ("../../x.png", "x.png"),
        ("C:\\Users\\Ana\\foto.jpg", "foto.jpg"),
        ("a/b\\c/d\\e.gif", "e.gif"),
        ("\x00/\n/fine.gif", "fine.gif"),
        ("p" * 300 + "/short.bmp", "short.bmp"),
        ("👨‍👩‍👧.png", "👨‍👩‍👧.png"),
        ("Ma\u0301laga.jpg", "Ma\u0301laga.jpg"),
        ("foto\u202egpj.jpg", "foto\u202egpj.jpg"),
        ("\u200f\u0635.jpg", "\u200f\u0635.jpg"),
        ("\u200b", "\u200b"),
        ("\ufeff\uffff\U0010ffff", "\ufeff\uffff\U0010ffff"),
        ("...", "..."),
        (".hidden", ".hidden"),
        ("", None),
        ("folder/", None),
        (".", None),
        ("..", None),
        ("x/..", None),
        ("  ", None),
        ("\u3000", None),
        (" .. ", None),
        ("ñ" * 127, "ñ" * 127),
    ],
)
def test_of_a_path_only_the_name_of_the_file_is_kept(given: str, kept: str | None) -> None:
    assert file_name(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        "a\nb",
        "\x00",
        "a\x1b[31m",
        "\x7f",
        "\x85.png",
        "a\u2028b",
        "a\u2029b",
        "a" * 256,
        "ñ" * 128,
        "x/" + "a" * 256,
    ],
)
def test_names_that_no_file_should_have_are_refused(given: str) -> None:
    with pytest.raises(InvalidField) as refused:
        file_name(given)
    assert (refused.value.field, MAX_FILE_NAME) == ("name", 255)
    assert refused.value.mensaje.endswith("como máximo 255 bytes de UTF-8 sin caracteres de control.")
