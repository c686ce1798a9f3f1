"""What verification finds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["damaged", "missing", "left over", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`damaged` and `missing` are faults; `left over` takes space and does no harm. `what` is a file below
    the data folder, or an image; `says` is a sentence."""

    kind: Kind
    what: str
    says: str

    @property
    def is_fault(self) -> bool:
        return self.kind in ("damaged", "missing")


Report = Callable[[Finding], None]
