"""New secrets, and what the server keeps of them."""

import hashlib
import secrets

from conexiones.secret_form import RANDOM_BYTES, SESSION, TICKET, TOKEN, is_secret, made_of

__all__ = ["SESSION", "TICKET", "TOKEN", "digest", "is_secret", "mint"]


def mint(prefix: str) -> str:
    """A new secret."""
    return made_of(prefix, secrets.token_bytes(RANDOM_BYTES))


def digest(secret: str) -> bytes:
    """What is kept of a secret. A hash that is quick is enough for 256 random bits."""
    # Naming an error handler takes longer than the hash, and what is ASCII needs none.
    encoded = secret.encode() if secret.isascii() else secret.encode("utf-8", "surrogatepass")
    return hashlib.sha256(encoded).digest()
