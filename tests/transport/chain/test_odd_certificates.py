"""Certificates that Envoy's library takes, and ours does not read."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID

from conexiones.principals import Certificate, Principal
from conexiones.transport.chain.call import CERTIFICATE
from conexiones.transport.chain.certificate import CertificateSource
from tests.transport.chain.calls import Client, call


def pem(names: bytes) -> str:
    """A certificate of CN=admin whose alternative names are these bytes of DER."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    odd = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names)
    return (
        builder.add_extension(odd, critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )


@pytest.mark.parametrize(
    "names",
    ["3007a505a1030c0161", "3004a3023000", "300787050102030405", "30058203fffefd"],
    ids=["EDI party name", "X.400 address", "IP address of 5 bytes", "DNS name in Latin-1"],
)
def test_whoever_has_one_is_nobody_in_particular(names: str) -> None:
    def find(certificate: Certificate) -> Principal:
        assert certificate == Certificate()
        return Principal(subject="certificate:(without a name)")

    shown = f'Hash=00;Cert="{quote(pem(bytes.fromhex(names)), safe="")}";Subject="CN=admin"'
    caller = CertificateSource(find)(call(Client(), headers={CERTIFICATE: shown.encode()}))
    assert caller is not None
    assert not caller.scopes
