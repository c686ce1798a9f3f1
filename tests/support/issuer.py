"""An issuer of JWTs, with keys of its own: signs them, and gives its key set."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

ISSUER, AUDIENCE = "https://issuer.example", "images"


def encoded(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """`kid` names the keys: one of RSA for RS256, and one of P-256 for ES256."""

    def __init__(self, kid: str = "first", *, bits: int = 2048) -> None:
        self.kid = kid
        self._rsa = rsa.generate_private_key(65537, bits)
        self._ec = ec.generate_private_key(ec.SECP256R1())

    def keys(self) -> list[dict[str, str]]:
        """The key set (RFC 7517)."""
        numbers, point = self._rsa.public_key().public_numbers(), self._ec.public_key().public_numbers()
        size = (numbers.n.bit_length() + 7) // 8
        return [
            {
                "kty": "RSA",
                "kid": f"{self.kid}-rsa",
                "alg": "RS256",
                "use": "sig",
                "n": encoded(numbers.n.to_bytes(size)),
                "e": encoded(numbers.e.to_bytes(3)),
            },
            {
                "kty": "EC",
                "kid": f"{self.kid}-ec",
                "alg": "ES256",
                "crv": "P-256",
                "x": encoded(point.x.to_bytes(32)),
                "y": encoded(point.y.to_bytes(32)),
            },
        ]

    def document(self) -> str:
        return json.dumps({"keys": self.keys()})

    def settings(self, keys: object) -> dict[str, str]:
        """The settings of a server that takes its JWTs."""
        return {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys": str(keys)}

    def jwt(self, *, alg: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A JWT, valid for an hour unless the claims say else; a claim that is None is left out."""
        kind = "ec" if alg == "ES256" else "rsa"
        head = {"alg": alg, "typ": "JWT", "kid": f"{self.kid}-{kind}", **(header or {})}
        body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ana", "exp": int(time.time()) + 3600, **claims}
        parts = (head, {name: value for name, value in body.items() if value is not None})
        text = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        return f"{text}.{encoded(self._signature(alg, text.encode()))}"

    def _signature(self, alg: str, text: bytes) -> bytes:
        if alg == "RS256":
            return self._rsa.sign(text, padding.PKCS1v15(), hashes.SHA256())
        if alg == "ES256":
            numbers = utils.decode_dss_signature(self._ec.sign(text, ec.ECDSA(hashes.SHA256())))
            return b"".join(number.to_bytes(32) for number in numbers)
        if alg == "HS256":  # with what everybody knows, the public key, as the shared secret
            pem = self._rsa.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            return hmac.digest(pem, text, hashlib.sha256)
        return b""
