"""An issuer of JWTs, with keys of its own: signs them, and gives its key set."""

import base64
import hmac
import json
import time
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

ISSUER, AUDIENCE = "https://issuer.example", "images"

_CURVES: dict[str, tuple[str, ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "ES256": ("P-256", ec.SECP256R1(), hashes.SHA256()),
    "ES384": ("P-384", ec.SECP384R1(), hashes.SHA384()),
    "ES512": ("P-521", ec.SECP521R1(), hashes.SHA512()),
}

ALGORITHMS = ("RS256", "PS256", *_CURVES, "EdDSA")
"""Those with which it signs."""


def encoded(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """`kid` is in the ids of its keys, of which there is one for each algorithm."""

    def __init__(self, kid: str = "first", *, bits: int = 2048) -> None:
        self.kid = kid
        self._rsa = rsa.generate_private_key(65537, bits)
        self._curves = {alg: ec.generate_private_key(curve) for alg, (_, curve, _) in _CURVES.items()}
        self._edwards = ed25519.Ed25519PrivateKey.generate()

    def keys(self) -> list[dict[str, str]]:
        """The key set (RFC 7517)."""
        return [{"kid": f"{self.kid}-{alg}", "alg": alg, **self._public(alg)} for alg in ALGORITHMS]

    def _public(self, alg: str) -> dict[str, str]:
        if alg in _CURVES:
            key = self._curves[alg]
            point, size = key.public_key().public_numbers(), (key.key_size + 7) // 8
            sides = {"x": encoded(point.x.to_bytes(size)), "y": encoded(point.y.to_bytes(size))}
            return {"kty": "EC", "crv": _CURVES[alg][0], **sides}
        if alg == "EdDSA":
            return {
                "kty": "OKP",
                "crv": "Ed25519",
                "x": encoded(self._edwards.public_key().public_bytes_raw()),
            }
        numbers = self._rsa.public_key().public_numbers()
        size = (numbers.n.bit_length() + 7) // 8
        whole = {"n": encoded(numbers.n.to_bytes(size)), "e": encoded(numbers.e.to_bytes(3))}
        return {"kty": "RSA", "use": "sig", **whole}

    def document(self) -> str:
        return json.dumps({"keys": self.keys()})

    def settings(self, keys: object) -> dict[str, str]:
        """The settings of a server that takes its JWTs."""
        return {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys": str(keys)}

    def jwt(self, *, alg: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A JWT, valid for an hour unless the claims say else; a claim that is None is left out."""
        kid = alg if alg in ALGORITHMS else "RS256"
        head = {"alg": alg, "typ": "JWT", "kid": f"{self.kid}-{kid}", **(header or {})}
        body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ana", "exp": int(time.time()) + 3600, **claims}
        parts = (head, {name: value for name, value in body.items() if value is not None})
        text = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        return f"{text}.{encoded(self._signature(alg, text.encode()))}"

    def _signature(self, alg: str, text: bytes) -> bytes:
        if alg in _CURVES:
            key = self._curves[alg]
            numbers = utils.decode_dss_signature(key.sign(text, ec.ECDSA(_CURVES[alg][2])))
            return b"".join(number.to_bytes((key.key_size + 7) // 8) for number in numbers)
        if alg == "EdDSA":
            return self._edwards.sign(text)
        if alg == "RS256":
            return self._rsa.sign(text, padding.PKCS1v15(), hashes.SHA256())
        if alg == "PS256":
            salted = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
            return self._rsa.sign(text, salted, hashes.SHA256())
        if alg == "HS256":  # with what everybody knows, the public key, as the shared secret
            pem = self._rsa.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            return hmac.digest(pem, text, "sha256")
        return b""
