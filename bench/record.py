"""What all pieces of the bench have measured, in one run or in several. A file keeps it from run to run."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from bench.measures import Results


@dataclass
class Record:
    """The newest results by the names of the pieces, in the order in which a whole run measures them."""

    pieces: dict[str, Results] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Record":
        """The record in a file; an empty one if there is none, or if it is of an older bench."""
        pieces = json.loads(path.read_text()).get("pieces", {}) if path.exists() else {}
        return cls({name: Results.from_json(piece) for name, piece in pieces.items()})

    def write(self, path: Path) -> None:
        data = {"pieces": {name: piece.as_json() for name, piece in self.pieces.items()}}
        text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
        # Whoever interrupts a run keeps what was measured before.
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)

    def take(self, name: str, results: Results) -> None:
        """Puts the results in the place of those that the piece had. Of a piece that failed, the earlier ones
        stay."""
        before = self.pieces.get(name)
        if results.failure and before is not None:
            before.failure = results.failure
        else:
            self.pieces[name] = results

    def sort(self, names: list[str]) -> None:
        """Puts the pieces in this order. Those with other names are no more, and are left out."""
        self.pieces = {name: self.pieces[name] for name in names if name in self.pieces}

    def has(self, name: str, commit: str) -> bool:
        """Whether the piece was measured at the commit, without a failure. A commit with a + is none."""
        piece = self.pieces.get(name)
        return piece is not None and piece.commit == commit and not commit.endswith("+") and not piece.failure

    def of_row(self, row: str) -> Results:
        """The piece with a row. Raises KeyError if there is none."""
        for piece in self.pieces.values():
            if row in piece.values:
                return piece
        raise KeyError(row)

    def unit(self, row: str) -> str:
        """Raises KeyError if the row was not measured."""
        return self.of_row(row).units[row]

    def median(self, row: str, contender: str) -> float:
        """The median of a contender in a row. Raises KeyError if it was not measured."""
        return statistics.median(self.of_row(row).values[row][contender])

    @property
    def quick(self) -> bool:
        return any(piece.quick for piece in self.pieces.values())

    @property
    def minutes(self) -> float:
        return sum(piece.minutes for piece in self.pieces.values())
