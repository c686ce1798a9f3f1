"""Certificates for tests, such as `conexiones certs` makes, and the settings of servers that use them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conexiones.certificates import make

HOSTS = ("localhost", "127.0.0.1", "::1")


def authority(folder: Path, *hosts: str) -> Path:
    """Makes a CA, and certificates of a server for `hosts` and of a client, in the folder. Gives it back."""
    make(folder, hosts or HOSTS, replace=True)
    return folder


def tls(certs: Path) -> dict[str, Any]:
    """The settings of a server with TLS."""
    return {"tls_cert": str(certs / "server.pem"), "tls_key": str(certs / "server.key")}


def mtls(certs: Path) -> dict[str, Any]:
    """The settings of a server that demands a client certificate of the same CA."""
    return {**tls(certs), "tls_client_ca": str(certs / "ca.pem")}


class Authority:
    """A CA that goes on signing, with a certificate of a server for HOSTS, as files in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("CN=Test CA")
        self._write("ca", self._certificate(self._name, self._key.public_key(), ca=True), self._key)
        self.sign("server", "CN=server", dns=["localhost"], addresses=["127.0.0.1"])

    def sign(
        self,
        file: str,
        subject: str = "",
        *,
        uris: Sequence[str] = (),
        dns: Sequence[str] = (),
        addresses: Sequence[str] = (),
        lasts: timedelta = timedelta(days=1),
    ) -> tuple[Path, Path]:
        """Makes a certificate and its key: the subject as in RFC 4514. Gives their files."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName(name) for name in dns]
        names += [x509.IPAddress(ip_address(address)) for address in addresses]
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(_name(subject), key.public_key(), names, lasts=lasts)
        return self._write(file, certificate, key)

    def credentials(self, file: str) -> grpc.ChannelCredentials:
        ca, key, cert = (
            (self.folder / name).read_bytes() for name in ("ca.pem", f"{file}.key", f"{file}.pem")
        )
        return grpc.ssl_channel_credentials(ca, key, cert)

    def _certificate(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        names: Sequence[x509.GeneralName] = (),
        *,
        ca: bool = False,
        lasts: timedelta = timedelta(days=1),
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + lasts)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(
        self, file: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> tuple[Path, Path]:
        paths = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths


def _name(text: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(text) if text else x509.Name([])
