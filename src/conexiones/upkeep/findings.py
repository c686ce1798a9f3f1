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


@dataclass(slots=True)
class Verified:
    """What was looked at."""

    images: int = 0
    bytes: int = 0
    faults: int = 0
    left_over: int = 0

    def count(self, finding: Finding) -> None:
        self.faults += finding.is_fault
        self.left_over += finding.kind == "left over"
