"""Certificates in the header in which Envoy shows them."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from conexiones.domain.access.certificates import Certificates
from conexiones.errors import TokenExpired
from conexiones.transport.chain.call import CERTIFICATE, Call
from conexiones.transport.chain.certificate import CertificateSource
from tests.support.certificates import Authority
from tests.transport.chain.calls import Client, call


def shown(pem: Path) -> Call:
    value = f'Hash=00;Cert="{quote(pem.read_text(), safe="")}";Subject="CN=a"'
    return call(Client(), headers={CERTIFICATE: value.encode()})


def test_a_certificate_counts_until_its_end(tmp_path: Path) -> None:
    """Also on a connection that began before."""
    source = CertificateSource(Certificates().principal)
    made = Authority(tmp_path)
    good, _ = made.sign("good", "CN=a", lasts=timedelta(minutes=10))
    found = source(shown(good))
    assert found is not None
    assert found.subject == "certificate:CN=a"
    assert found.expires
    ended, _ = made.sign("ended", "CN=a", lasts=timedelta(0))
    with pytest.raises(TokenExpired):
        source(shown(ended))
    other, _ = made.sign("other", "CN=a", lasts=timedelta(minutes=20))
    renewed = source(shown(other))
    assert renewed is not None
    assert renewed.credential != found.credential
