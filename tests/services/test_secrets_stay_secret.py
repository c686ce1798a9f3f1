"""Every credential that a server has given out or was shown: it is in no log, no answer of another call, no
process and no file, but for that of the administrator's first token."""

import asyncio
import json
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import grpc
import psutil
import pytest

from conexiones.domain.access.secrets import SESSION, TICKET, TOKEN, mint
from conexiones.gen.conexiones.v1.access_pb2 import (
    CreateTokenRequest,
    ListTokensRequest,
    RevokeTokenRequest,
    RotateLinkKeyRequest,
)
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import CreateTicketRequest, CreateUploadRequest
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from conexiones.transport.process import admin
from tests.services.test_access import IMAGE, Callers
from tests.support.processes import envoy
from tests.support.waiting import DEADLINE

ADMIN_PAGES = (
    "/config_dump?include_eds",
    "/stats",
    "/clusters",
    "/listeners",
    "/server_info",
    "/runtime",
    "/certs",
)

HEADER, CLAIMS = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ", "eyJzdWIiOiJhbmEiLCJleHAiOjQxMDI0NDQ4MDB9"


class Told:
    """All secrets that were used, by what they are, and all texts of errors that came back."""

    def __init__(self, callers: Callers) -> None:
        self.callers = callers
        self.secrets: dict[str, str] = {"admin": callers.admin}
        self.errors = ""

    def keep(self, name: str, secret: str) -> str:
        self.secrets[name] = secret
        return secret

    def shown(self, secret: str | None, name: str = "somebody") -> None:
        """Shows a secret in a call over gRPC that stores, in one that administers, and over plain HTTP."""
        for stub, method, request in (
            (UsuarioServicioStub, "GetUser", GetUserRequest(name=name, image=IMAGE)),
            (UploadServiceStub, "CreateUpload", CreateUploadRequest(request_id=f"{name}"[:60])),
            (AdminServiceStub, "ListTokens", ListTokensRequest()),
        ):
            try:
                self.callers.call(stub, method, request, secret)
            except grpc.RpcError as error:
                self.errors += f"{error.details()} {error.trailing_metadata()}\n"
        self.fetch("/images/x", secret)
        self.fetch("/images/x?width=5", secret)

    def fetch(self, path: str, secret: str | None = None, *, cookie: str = "") -> None:
        host, _, port = self.callers.address.rpartition(":")
        headers = {"cookie": f"session={cookie}; __Host-session={cookie}"} if cookie else {}
        if secret is not None:
            headers["authorization"] = f"Bearer {secret}"
        with closing(HTTPConnection(host, int(port), timeout=DEADLINE)) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status >= 400:
                self.errors += f"{answer.headers} {body.decode('latin-1')}\n"

    def found_in(self, where: str, content: str | bytes) -> list[str]:
        """The secrets, or their random parts, that are in a text or a file."""
        data = content.encode() if isinstance(content, str) else content
        return [
            f"{name} in {where}: {data[max(0, at - 200) : at + 80]!r}"
            for name, secret in self.secrets.items()
            if (at := data.find(secret[4:24].encode())) >= 0
        ]


def use_all(told: Told) -> None:
    """Uses credentials of every kind: good, wrong, mistyped and revoked ones, in every place."""
    callers = told.callers
    issued: list[tuple[str, str]] = []
    for name in ("reader", "writer"):
        request = CreateTokenRequest(name=name, scopes=["SCOPE_READ", "SCOPE_WRITE"])
        made = callers.call(AdminServiceStub, "CreateToken", request, callers.admin)
        issued.append((made.token.id, told.keep(name, made.secret)))
    ticket = callers.call(UploadServiceStub, "CreateTicket", CreateTicketRequest(), issued[0][1])
    told.keep("ticket", ticket.secret)
    for kind in (TOKEN, TICKET, SESSION):
        told.keep(f"unknown {kind}", mint(kind))
    told.keep("mistyped", mint(TOKEN)[:-1] + "_")
    told.keep("JWT", f"{HEADER}.{CLAIMS}.c2lnbmF0dXJlLW9mLWEtand0LXRoYXQtaXMtc2VjcmV0")
    told.keep("signature of a JWT", "xxxxc2lnbmF0dXJlLW9mLWEtand0LXRoYXQtaXMtc2VjcmV0")
    told.shown(None)
    for secret in list(told.secrets.values()):
        told.shown(secret)
        told.fetch("/images/x", cookie=secret)
    told.shown(callers.admin, name=told.secrets["writer"])  # as the name of a user
    link = callers.link(id=callers.image())
    (signature,) = parse_qs(urlsplit(link).query)["signature"]
    told.keep("signature", "xxxx" + signature)
    told.fetch(link)
    told.fetch(link + "0")
    callers.call(AdminServiceStub, "RotateLinkKey", RotateLinkKeyRequest(end_links=True), callers.admin)
    told.fetch(link)
    for token, _ in issued:
        callers.call(AdminServiceStub, "RevokeToken", RevokeTokenRequest(id=token), callers.admin)
    for secret in [*(secret for _, secret in issued), ticket.secret]:
        told.shown(secret)


@pytest.mark.parametrize("level", ["debug", "trace"])
def test_no_secret_is_told(start: Callable[..., Server], tmp_path: Path, level: str) -> None:
    data, audit = tmp_path / "data", tmp_path / "audit.log"
    server = start(data, auth="required", log_level=level, audit_log=str(audit))
    told = Told(Callers(server, data))
    with told.callers.channel:
        use_all(told)
    found = told.found_in("answers", told.errors)
    front = envoy(server.pid)
    config = Path(front.cmdline()[front.cmdline().index("--config-path") + 1])
    json.loads(config.read_bytes())
    for file in config.parent.iterdir():
        if file.is_file():
            with suppress(FileNotFoundError):  # a new file may take the place of another one
                found += told.found_in(f"Envoy's {file.name}", file.read_bytes())
    for page in ADMIN_PAGES:
        found += told.found_in(f"Envoy's {page}", asyncio.run(admin.ask(config.parent, page)))
    supervisor = psutil.Process(server.pid)
    for process in (supervisor, *supervisor.children(recursive=True)):
        folder = Path(f"/proc/{process.pid}")
        with suppress(psutil.NoSuchProcess, OSError):  # decoders come and go
            for name in ("cmdline", "environ"):
                found += told.found_in(f"{name} of {process.name()}", (folder / name).read_bytes())
    server.stop()
    found += told.found_in("the log", server.log)
    found += told.found_in("the audit log", audit.read_bytes())
    for file in data.rglob("*"):
        if file.is_file():
            # The name of a user is what the client wanted to be kept.
            left = [one for one in told.found_in(str(file), file.read_bytes()) if "writer in" not in one]
            if file.name == "admin-token":
                left = [one for one in left if not one.startswith("admin in")]
            found += left
    assert not found, "\n".join(found)
