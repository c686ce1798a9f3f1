"""Reads the file with the rules for certificates."""

from pathlib import Path

from conexiones.domain.access.certificates import Rules
from conexiones.principals import Allowance


def read_rules(path: Path, allowance: Allowance | None = None) -> Rules:
    """The rules in a file; `allowance` is what those have that say nothing of their own. Raises ValueError,
    with a sentence for the operator."""
    try:
        return Rules.parse(path.read_text("utf-8"), allowance=allowance)
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        raise ValueError(f"The certificate rules in {path} cannot be read: {why}.") from None
    except ValueError as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeError) else str(error)
        raise ValueError(f"The certificate rules in {path} are not good: {why}.") from None
