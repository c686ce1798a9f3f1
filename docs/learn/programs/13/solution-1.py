import sys
from datetime import timedelta
from pathlib import Path

from cryptography import x509


def ends_soon(certificate, now):
    return certificate.not_valid_after_utc - now < timedelta(days=14)


certificate = x509.load_pem_x509_certificate(Path("build/production/certs/server.pem").read_bytes())
end = certificate.not_valid_after_utc
found = [ends_soon(certificate, end - timedelta(days=days)) for days in (15, 13, 0)]

print(*("ends soon" if soon else "fine" for soon in found), sep=", ")
if found != [False, True, True]:
    sys.exit("Not yet · Todavía no")
