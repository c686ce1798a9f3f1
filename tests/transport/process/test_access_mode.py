"""How a server lets callers in: contradictions are one line at the start, and so is what it does."""

import stat
from pathlib import Path
from typing import Any

import grpc
import pytest

from conexiones.gen.conexiones.v1.access_pb2 import ListTokensRequest, RevokeTokenRequest
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import GetLimitsRequest
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.settings import Settings
from conexiones.testing import Server, ServerError, serve
from conexiones.transport.process.access_mode import check_access, says, with_auth
from conexiones.transport.process.address import Address
from conexiones.transport.process.start_error import StartError
from tests.services.test_access import Callers
from tests.support.certificates import authority, mtls
from tests.support.issuer import Issuer
from tests.support.waiting import DEADLINE

HERE, OPEN = Address("127.0.0.1", 1), Address("192.0.2.1", 1)
TLS = {"tls_cert": Path("/cert"), "tls_key": Path("/key")}
MTLS = {**TLS, "tls_client_ca": Path("/ca")}
RULES = {"certificate_rules": Path("/rules")}
JWT = {"jwt_issuer": "https://a", "jwt_audience": ("b",), "jwt_keys": "/keys"}
ASKS = {"auth": "required"}


def settings(**given: Any) -> Settings:
    return Settings(**{"memory": 16 << 30, **given})


@pytest.mark.parametrize(
    ("address", "given"),
    [
        (HERE, {}),
        (HERE, ASKS),
        (HERE, {"auth": "none"}),
        (HERE, {**ASKS, "anonymous_scopes": ("read",), "new_admin_token": True}),
        (HERE, {**ASKS, **MTLS, **RULES, **JWT}),
        (OPEN, TLS),
        (OPEN, {**MTLS, **RULES, **JWT}),
        (OPEN, {"insecure": True}),
        (OPEN, {"insecure": True, **ASKS, **JWT, "jwt_keys": "http://a.example/keys"}),
        (HERE, {**ASKS, **JWT, "jwt_keys": "https://a.example/keys"}),
        (HERE, {**ASKS, **JWT, "jwt_keys": "http://localhost/keys"}),
    ],
)
def test_what_goes_together(address: Address, given: dict[str, Any]) -> None:
    check_access(settings(**given), address)
    assert says(with_auth(settings(**given), address))


@pytest.mark.parametrize(
    ("address", "given", "what"),
    [
        (OPEN, {}, "give --tls-cert and --tls-key, or say --insecure"),
        (OPEN, ASKS, "give --tls-cert and --tls-key, or say --insecure"),
        (OPEN, {**TLS, "auth": "none"}, "say --auth required, or --insecure"),
        (HERE, {"anonymous_scopes": ("read",)}, "--anonymous-scopes needs --auth required"),
        (OPEN, {"insecure": True, "anonymous_scopes": ("read",)}, "--anonymous-scopes needs --auth required"),
        (HERE, {"new_admin_token": True}, "--new-admin-token needs --auth required"),
        (HERE, {**MTLS, **RULES}, "--certificate-rules needs --auth required"),
        (HERE, {**ASKS, **TLS, **RULES}, "--certificate-rules needs --tls-client-ca"),
        (HERE, JWT, "--jwt-issuer needs --auth required"),
        (HERE, {**ASKS, "jwt_issuer": "a"}, "--jwt-audience is missing"),
        (HERE, {**ASKS, "jwt_keys": "a"}, "--jwt-issuer is missing"),
        (HERE, {**ASKS, **JWT, "jwt_keys": None}, "--jwt-keys is missing"),
        (HERE, {**ASKS, **JWT, "jwt_audience": ()}, "--jwt-audience is missing"),
        (HERE, {**ASKS, **JWT, "jwt_keys": "http://a.example/keys"}, "give an https URL"),
    ],
)
def test_contradictions(address: Address, given: dict[str, Any], what: str) -> None:
    with pytest.raises(StartError, match=what) as error:
        check_access(settings(**given), address)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"auth": "none"}, "everybody may do everything (--auth none)"),
        (
            {"auth": "none", **MTLS},
            "every certificate of the CA may do everything: --certificate-rules says more (--auth none)",
        ),
        (ASKS, "callers need a credential"),
        ({**ASKS, "anonymous_scopes": ("read",)}, "callers need a credential; without one they may read"),
        (
            {**ASKS, **MTLS},
            "callers need a credential; every certificate of the CA may do everything:"
            " --certificate-rules says more",
        ),
        (
            {**ASKS, **MTLS, **RULES, **JWT},
            "callers need a credential; certificates go by their rules; JWTs of https://a are taken",
        ),
    ],
)
def test_what_the_operator_is_told(given: dict[str, Any], what: str, tmp_path: Path) -> None:
    assert says(settings(**given, data_dir=tmp_path)) == what


def test_where_the_token_of_the_administrator_is(tmp_path: Path) -> None:
    (tmp_path / "admin-token").touch()
    assert says(settings(**ASKS, data_dir=tmp_path)).endswith(f"token is in {tmp_path / 'admin-token'}")


def test_what_is_wrong_is_one_line_at_the_start(tmp_path: Path) -> None:
    bad, missing = tmp_path / "bad", tmp_path / "missing"
    bad.write_text("?")
    common = {"auth": "required", **mtls(authority(tmp_path / "certs"))}
    for given, what in (
        ({"certificate_rules": str(bad)}, f"The certificate rules in {bad} are not good: it is no TOML"),
        ({"certificate_rules": str(missing)}, f"Cannot read {missing}."),
        (Issuer().settings(bad), f"The JWT keys in {bad} are no JWK set."),
        (Issuer().settings(missing), f"The JWT keys cannot be read: {missing}: no such file"),
    ):
        with pytest.raises(ServerError) as error, serve(tmp_path / "data", **common, **given):
            pass
        assert str(error.value).startswith(f"conexiones: {what}")
        assert str(error.value).count("\n") == 1


def secret(folder: Path) -> str:
    file = folder / "admin-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return file.read_text().strip()


def test_another_token_of_the_administrator(tmp_path: Path) -> None:
    """It is made where the flag asks for it and the one in the file is gone or works no more. An old one
    works until it is revoked: somebody may have moved the file."""
    ask = {"auth": "required", "new_admin_token": "true"}
    with serve(tmp_path, **ask):
        first = secret(tmp_path)
    with serve(tmp_path, **ask) as server:
        assert secret(tmp_path) == first
        assert works(server, first)
    (tmp_path / "admin-token").unlink()
    with serve(tmp_path, auth="required") as server:
        assert not (tmp_path / "admin-token").exists()
        assert works(server, first)
    with serve(tmp_path, **ask) as server:
        second = secret(tmp_path)
        assert second != first
        assert works(server, first)
        assert works(server, second)
        revoke(server, second, newest=1)
    with serve(tmp_path, **ask) as server:
        third = secret(tmp_path)
        assert (works(server, second), works(server, third)) == (False, True)
        revoke(server, third, newest=2)
    with serve(tmp_path, auth="required") as server:  # nobody could make another one
        assert secret(tmp_path) not in {first, second, third}
        assert works(server, secret(tmp_path))
        assert not works(server, third)


def works(server: Server, token: str) -> bool:
    metadata = [("authorization", f"Bearer {token}")]
    with grpc.insecure_channel(server.address) as channel:
        call = UploadServiceStub(channel).GetLimits
        try:
            found = call(GetLimitsRequest(), metadata=metadata, timeout=DEADLINE).access
        except grpc.RpcError:
            return False
    return bool(found.subject == "token:admin")


def revoke(server: Server, token: str, *, newest: int) -> None:
    """Revokes the newest tokens, with one of an administrator; the newest one last."""
    callers = Callers(server, server.data_dir)
    with callers.channel:
        tokens = callers.call(AdminServiceStub, "ListTokens", ListTokensRequest(), token).tokens
        for one in reversed(tokens[:newest]):
            callers.call(AdminServiceStub, "RevokeToken", RevokeTokenRequest(id=one.id), token)
