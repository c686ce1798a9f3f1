"""The result of a check."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its name, its state, what was found and, unless all is well, how to fix it."""

    check: str
    state: State
    says: str
    mend: str = ""
