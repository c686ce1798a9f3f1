"""What all errors have."""

from functools import partial
from typing import Any, ClassVar

from conexiones.codes import Code


class ConexionesError(Exception):
    """The base of all errors. Only leaves of the tree are raised.

    field: the name of the offending field of the request. A sentence may have it.
    facts: fill the two sentences, and travel to programs unchanged.
    retry_after: in seconds; None where trying again does not help.
    request_id: in a client, the id of the request that failed, which the server's log has, too; else empty.
    """

    code: ClassVar[Code]
    reason: ClassVar[str] = ""
    english: ClassVar[str]
    spanish: ClassVar[str]
    retry_after: float | None = None
    request_id: str = ""

    def __init__(self, *, field: str = "", **facts: int | str) -> None:
        self.field = field
        self.facts = facts
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), field=self.field, **self.facts), (), self.__dict__

    @property
    def message(self) -> str:
        """The sentence in English, safe to show."""
        return self.english.format_map({"field": self.field, **self.facts})

    @property
    def mensaje(self) -> str:
        """The sentence in Spanish, safe to show."""
        return self.spanish.format_map({"field": self.field, **self.facts})
