"""The names of users."""

from conexiones.errors import EmptyName, NameTooLong

MAX_NAME = 256
"""The most characters of a name. The fewest are one."""


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
