"""What a check found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was checked, how it stands, and unless all is well how to mend it."""

    check: str
    state: State
    says: str
    mend: str = ""
