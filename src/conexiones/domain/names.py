"""The names of users, and those of files."""

import unicodedata

from conexiones.errors import EmptyName, InvalidField, NameTooLong

MAX_NAME = 256
"""The most characters of a user's name. The fewest are one."""

MAX_FILE_NAME = 255
"""The most bytes of a file's name in UTF-8, as in most file systems."""

_NAMES_NO_FILE = {"", ".", ".."}


class UserName:
    """A name that was checked, which cannot be made or changed without the check.

    What stores images takes this in place of a string, so that nothing can be stored for another name.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str, *, field: str = "name") -> None:
        """Raises EmptyName or NameTooLong, for that field of the request."""
        if not text:
            raise EmptyName(field=field, limit=MAX_NAME)
        if len(text) > MAX_NAME:
            raise NameTooLong(field=field, limit=MAX_NAME, actual=len(text))
        self._text = text

    @property
    def text(self) -> str:
        return self._text

    @classmethod
    def optional(cls, text: str | None, *, field: str = "name") -> "UserName | None":
        """The name, or None where there is none. Raises NameTooLong."""
        return cls(text, field=field) if text else None


def file_name(text: str, *, field: str = "name") -> str | None:
    """The name of a file as it is kept: of a path only what follows the last slash or backslash. None where
    that names no file, as blanks and ".." do. Raises InvalidField."""
    if not text:
        return None
    name = text[max(text.rfind("/"), text.rfind("\\")) + 1 :]
    check_text(name, field=field)
    return None if name.strip() in _NAMES_NO_FILE else name


def check_text(text: str, *, field: str) -> None:
    """Raises InvalidField for a text that no file's name can have in it: one with control characters (C0, C1
    and separators of lines) or longer than MAX_FILE_NAME."""
    if len(text.encode()) > MAX_FILE_NAME or any(
        unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text
    ):
        raise InvalidField(
            field=field, takes=f"at most {MAX_FILE_NAME} bytes of UTF-8 without control characters"
        )
