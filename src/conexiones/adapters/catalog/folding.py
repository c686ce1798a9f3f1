"""Names as they are compared, whatever their case."""

import unicodedata


def folded(text: str) -> str:
    """The text without differences of case, nor of how a character is composed (Unicode, D146)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
