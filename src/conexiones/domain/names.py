"""The names of users."""

from conexiones.errors import EmptyName, NameTooLong

MAX_NAME = 256
"""The most characters of a name. The fewest are one."""


class UserName:
    """A name that was checked: there is no other way to make one.

    What stores images takes no plain string.
    """

    __slots__ = ("text",)

    def __init__(self, text: str, *, field: str = "name") -> None:
        """Raises EmptyName or NameTooLong, for that field of the request."""
        if not text:
            raise EmptyName(field=field, limit=MAX_NAME)
        if len(text) > MAX_NAME:
            raise NameTooLong(field=field, limit=MAX_NAME, actual=len(text))
        self.text = text

    @classmethod
    def optional(cls, text: str | None, *, field: str = "name") -> "UserName | None":
        """The name, or None where there is none. Raises NameTooLong."""
        return cls(text, field=field) if text else None
