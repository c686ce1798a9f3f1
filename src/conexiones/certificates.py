"""Makes a certificate authority and certificates for development, for `conexiones certs`."""

import errno
import ipaddress
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = timedelta(days=825)
"""The longest validity that all clients accept."""

FILES = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")

_NAME = re.compile(r"(\*\.)?[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*\.?")


def make(folder: Path, hosts: Iterable[str], *, replace: bool = False) -> dict[Path, str]:
    """Writes PEM files into the folder; returns their paths and purposes.

    Raises FileExistsError, before it writes anything, if one of them is there and is not to be replaced.

    The keys are P-256 and readable by their owner only. The certificates are valid for 825 days. The CA's key
    is not kept, so nothing else can ever be signed with it. Raises OSError, and ValueError for what is no
    host.
    """
    for name in FILES:
        path = folder / name
        if not replace and (path.exists() or path.is_symlink()):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    names = [_host(host) for host in hosts]
    now = datetime.now(UTC) - timedelta(minutes=5)  # the clocks of clients may be a little behind
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("Conexiones development CA")
    ca = (
        _certificate(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )

    def signed(
        name: str, purpose: x509.ObjectIdentifier, names: list[x509.GeneralName]
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        builder = (
            _certificate(_name(name), ca_name, key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(authority, critical=False)
        )
        return builder.sign(ca_key, hashes.SHA256()), key

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made: dict[Path, str] = {}
    made[_write(folder / "ca.pem", ca)] = "the CA: for clients, and for the server's --tls-client-ca"
    server, server_key = signed("Conexiones server", ExtendedKeyUsageOID.SERVER_AUTH, names)
    made[_write(folder / "server.pem", server)] = "for the server's --tls-cert"
    made[_write_key(folder / "server.key", server_key)] = "for the server's --tls-key"
    client, client_key = signed(
        "Conexiones client", ExtendedKeyUsageOID.CLIENT_AUTH, [x509.DNSName("client.localhost")]
    )
    made[_write(folder / "client.pem", client)] = "a client's certificate, for mTLS"
    made[_write_key(folder / "client.key", client_key)] = "its key"
    return made


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        # A certificate has names in ASCII: "ñandú.es" is xn--and-6ma2c.es.
        name = host.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{host!r} is neither the name nor the address of a host.")
    return x509.DNSName(name)


def _write(path: Path, certificate: x509.Certificate) -> Path:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.unlink(missing_ok=True)  # the mode below applies only to a new file
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    return path
