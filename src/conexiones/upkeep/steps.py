"""What whoever started it hears of work that takes long."""

from typing import Protocol


class Progress(Protocol):
    """Is called often. KeyboardInterrupt may come out of it, as out of anything else."""

    def __call__(self, step: str, done: int, total: int) -> None:
        """How far a step has come, such as "images": bytes that are done, of all."""


def silent(step: str, done: int, total: int) -> None:
    """A Progress for whom nobody listens."""
