"""What `conexiones doctor` says of who is let in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conexiones.doctor.access import check_callers, check_mode
from conexiones.doctor.findings import Finding
from conexiones.sdk.connection import Options
from conexiones.settings import Settings
from conexiones.testing import Server
from tests.support.certificates import authority, mtls
from tests.support.issuer import Issuer
from tests.support.waiting import DEADLINE


def mode(folder: Path, **flags: Any) -> dict[str, Finding]:
    settings = Settings.load({}, {"data_dir": str(folder), **flags})
    return {finding.check: finding for finding in check_mode(settings)}


def callers(server: Server, **way: Any) -> Finding:
    blank: dict[str, Any] = {"tls": False, "ca": None, "cert": None, "key": None}
    options = Options(
        address=f"localhost:{server.port}",
        timeout=DEADLINE,
        retries=0,
        patience=DEADLINE,
        **{**blank, **way},
    )
    (finding,) = check_callers(options)
    return finding


def test_modes(tmp_path: Path) -> None:
    assert mode(tmp_path)["access"].state == "ok"
    found = mode(tmp_path, address="192.0.2.1:1", insecure="true")["access"]
    assert (found.state, found.says) == ("warn", "everybody may do everything (--auth none)")
    found = mode(tmp_path, address="192.0.2.1:1")["access"]
    assert (found.state, found.mend) == ("FAIL", "docs/access.md explains the modes.")


def test_files(tmp_path: Path) -> None:
    certs, rules, keys = authority(tmp_path / "certs"), tmp_path / "rules.toml", tmp_path / "keys.json"
    rules.write_text('[[rule]]\nsubject = "*"\nscopes = ["read"]\n')
    keys.write_text(Issuer().document())
    flags = {**mtls(certs), **Issuer().settings(keys), "certificate_rules": str(rules), "auth": "required"}
    found = mode(tmp_path, **flags)
    assert {name: finding.state for name, finding in found.items()} == {
        "access": "ok",
        "rules": "ok",
        "jwt": "ok",
    }
    assert (found["rules"].says, found["jwt"].says) == (
        f"{rules} has 1 for certificates",
        f"{keys} has 6 for signatures",
    )
    rules.write_text("?")
    keys.unlink()
    found = mode(tmp_path, **flags)
    assert (found["rules"].state, found["jwt"].state) == ("FAIL", "FAIL")


@pytest.mark.parametrize(("setting", "check"), [("audit_log", "audit"), ("access_log", "access-log")])
def test_logs_that_must_be_written(tmp_path: Path, setting: str, check: str) -> None:
    there, new = tmp_path / "there.log", tmp_path / "new.log"
    there.write_text("{}\n")
    for path, state in (
        (there, "ok"),
        (new, "ok"),
        (tmp_path / "no" / "audit.log", "FAIL"),
        (tmp_path, "FAIL"),
    ):
        assert mode(tmp_path / "data", **{setting: str(path)})[check].state == state
    assert there.read_text() == "{}\n"
    assert not new.exists()
    assert check not in mode(tmp_path)
    assert check not in mode(tmp_path, access_log="-")


@pytest.mark.parametrize(("bits", "state"), [(0o600, "ok"), (0o400, "ok"), (0o640, "FAIL"), (0o604, "FAIL")])
def test_who_may_read_the_token_of_the_administrator(tmp_path: Path, bits: int, state: str) -> None:
    (tmp_path / "admin-token").touch()
    (tmp_path / "admin-token").chmod(bits)
    assert mode(tmp_path, auth="required")["admin-token"].state == state


def test_a_server_that_runs(shared: Server, start: Callable[..., Server], tmp_path: Path) -> None:
    assert callers(shared).says == "everybody may do everything"
    assert callers(start(auth="required")).says == "without a credential nobody is let in"
    gallery = start(auth="required", anonymous_scopes="read")
    assert callers(gallery).says == "whoever has no credential may read"
    certs = authority(tmp_path / "certs")
    way = {"ca": str(certs / "ca.pem"), "cert": str(certs / "client.pem"), "key": str(certs / "client.key")}
    found = callers(start(auth="required", **mtls(certs)), **way)
    assert found.says == "certificate:CN=Conexiones client may read, write, delete, admin"
