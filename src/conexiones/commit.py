"""Which commit this program was built from."""

from pathlib import Path

_FILE = Path(__file__).with_name("commit.txt")


def commit() -> str:
    """The commit (40 hexadecimal digits), which tools/dist.py writes beside this file; "" if it is not known,
    as in a clone."""
    try:
        return _FILE.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
