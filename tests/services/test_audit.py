"""The audit log of a server: a line for each change and each refusal, with who, what and why."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from conexiones.domain.access import TOKEN, mint
from conexiones.gen.conexiones.v1.access_pb2 import Quota, RevokeTokenRequest, RotateLinkKeyRequest
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub
from conexiones.gen.conexiones.v1.images_pb2 import DeleteImageRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CancelUploadRequest,
    CreateTicketRequest,
    CreateUploadRequest,
    FinishUploadRequest,
    UploadImageRequest,
    UploadImagesRequest,
    WriteChunkRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, ServerError, serve
from tests.services.test_access import IMAGE, Callers, fetched, refused
from tests.support.waiting import DEADLINE, until

USUARIO, UPLOADS, IMAGES, ADMIN = (
    "user.UsuarioServicio",
    "conexiones.v1.UploadService",
    "conexiones.v1.ImageService",
    "conexiones.v1.AdminService",
)


def wait(true: Callable[[], object]) -> None:
    asyncio.run(until(true))


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file, without one of which a part has been written so far."""
    return path.read_bytes().rpartition(b"\n")[0].splitlines()


class Audited(Callers):
    """Callers of a server whose audit log is at `path`. `before` are the bytes that others have brought about
    since its first line."""

    path: Path
    server: Server
    before = slice(0, 0)

    def lines(self, count: int = 0) -> list[dict[str, Any]]:
        """The lines so far, once there are `count`."""
        wait(lambda: len(self._written()) >= count)
        return [json.loads(one) for one in self._written()]

    def _written(self) -> list[bytes]:
        text = self.path.read_bytes().rpartition(b"\n")[0]
        return (text[: self.before.start] + text[self.before.stop :]).splitlines()

    def events(self, count: int) -> list[tuple[str, str, str, str]]:
        """Event, method, object and outcome of each line after the first one, which says that the server has
        made the token of the administrator."""
        return [
            (one["event"], one["method"], (one["object"] or {}).get("id", ""), one["outcome"])
            for one in self.lines(count + 1)[1:]
        ]


def callers(server: Server, path: Path) -> Audited:
    made = Audited(server, server.data_dir)
    made.path, made.server = path, server
    made.lines(1)
    return made


@pytest.fixture
def alone(start: Callable[..., Server], tmp_path: Path) -> Iterator[Audited]:
    """With a server of its own, for a test that stops it, or is refused: refusals are counted."""
    path = tmp_path / "audit.log"
    made = callers(start(tmp_path / "data", auth="required", audit_log=str(path)), path)
    with made.channel:
        yield made


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audit")
    path = folder / "audit.log"
    with serve(folder / "data", auth="required", audit_log=str(path)) as server:
        made = callers(server, path)
        with made.channel:
            yield made


@pytest.fixture
def audited(common: Audited) -> Audited:
    """With a server that others have used before. Their lines are all written: the mark comes after them."""
    mark = f"mark {uuid4()}"
    common.call(UsuarioServicioStub, "GetUser", GetUserRequest(name=mark), common.admin)
    wait(lambda: mark.encode() in b"\n".join(whole_lines(common.path)))
    text = common.path.read_bytes()
    assert text.endswith(b"\n")
    common.before = slice(text.index(b"\n") + 1, len(text))
    return common


def metadata(secret: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {secret}"), *more]


def test_changes_of_images_and_users(audited: Audited) -> None:
    stub, with_admin = UsuarioServicioStub(audited.channel), metadata(audited.admin)
    registered = stub.GetUser(GetUserRequest(name="Ana", image=IMAGE), metadata=with_admin, timeout=DEADLINE)
    stub.GetUser(GetUserRequest(name="Ana", pow=3), metadata=with_admin, timeout=DEADLINE)
    processed = audited.image()
    streamed = stub.GetStreamImage(iter([GetImage(image=IMAGE)]), metadata=with_admin, timeout=DEADLINE)
    replies = list(
        stub.ImageStreamReply(
            iter([GetImage(image=IMAGE), GetImage(image=b"no image"), GetImage(image=IMAGE)]),
            metadata=with_admin,
            timeout=DEADLINE,
        )
    )
    ((_),) = stub.GetUserBidiStream(
        iter([GetUserRequest(name="Eva", image=IMAGE)]), metadata=with_admin, timeout=DEADLINE
    )
    audited.call(ImageServiceStub, "DeleteImage", DeleteImageRequest(id=processed), audited.admin)
    events = audited.events(10)
    bidi = events[7][2]
    assert events == [
        ("image.stored", f"{USUARIO}/GetUser", registered.image_info.id, "OK"),
        ("user.registered", f"{USUARIO}/GetUser", "Ana", "OK"),
        ("user.registered", f"{USUARIO}/GetUser", "Ana", "OK"),
        ("image.stored", f"{USUARIO}/ProcessImage", processed, "OK"),
        ("image.stored", f"{USUARIO}/GetStreamImage", streamed.image_info.id, "OK"),
        ("image.stored", f"{USUARIO}/ImageStreamReply", replies[0].image_info.id, "OK"),
        ("image.stored", f"{USUARIO}/ImageStreamReply", replies[2].image_info.id, "OK"),
        ("image.stored", f"{USUARIO}/GetUserBidiStream", bidi, "OK"),
        ("user.registered", f"{USUARIO}/GetUserBidiStream", "Eva", "OK"),
        ("image.deleted", f"{IMAGES}/DeleteImage", processed, "OK"),
    ]
    for line in audited.lines()[1:]:
        assert line["principal"]["subject"] == "token:admin"
        assert len(line["principal"]["credential"]) == 16
        assert line["peer"].startswith("127.0.0.1:")
        assert line["object"]["kind"] == line["event"].partition(".")[0]


def test_changes_by_small_images(audited: Audited) -> None:
    request = UploadImageRequest(request_id="one", image=IMAGE)
    stored = [
        audited.call(UploadServiceStub, "UploadImage", request, audited.admin).image.id for _ in range(2)
    ]
    streamed = UploadImagesRequest(request_id="another", image=IMAGE)
    replies = list(
        UploadServiceStub(audited.channel).UploadImages(
            iter([UploadImagesRequest(image=b"no image"), streamed, streamed]),
            metadata=metadata(audited.admin),
            timeout=DEADLINE,
        )
    )
    assert [reply.failure.reason for reply in replies] == ["NOT_AN_IMAGE", "", ""]
    # The same request again changes nothing.
    assert audited.events(2) == [
        ("image.stored", f"{UPLOADS}/UploadImage", stored[0], "OK"),
        ("image.stored", f"{UPLOADS}/UploadImages", replies[1].image.id, "OK"),
    ]


def test_changes_of_uploads(audited: Audited) -> None:
    def call(method: str, request: Any) -> Any:
        return audited.call(UploadServiceStub, method, request, audited.admin)

    ids, outcomes = [], []
    for content in (IMAGE, b"no image at all"):
        for _ in range(2):  # the same request again changes nothing
            made = call("CreateUpload", CreateUploadRequest(request_id=f"{len(content)}"))
        ids.append(made.upload.id)
        call("WriteChunk", WriteChunkRequest(upload_id=made.upload.id, data=content))
        for _ in range(2):
            done = call("FinishUpload", FinishUploadRequest(id=made.upload.id, size_bytes=len(content)))
        outcomes.append(done.upload)
    given_up = call("CreateUpload", CreateUploadRequest(request_id="3")).upload.id
    call("CancelUpload", CancelUploadRequest(id=given_up))
    assert audited.events(7) == [
        ("upload.created", f"{UPLOADS}/CreateUpload", ids[0], "OK"),
        ("upload.finished", f"{UPLOADS}/FinishUpload", ids[0], "OK"),
        ("image.stored", f"{UPLOADS}/FinishUpload", outcomes[0].image.id, "OK"),
        ("upload.created", f"{UPLOADS}/CreateUpload", ids[1], "OK"),
        ("upload.finished", f"{UPLOADS}/FinishUpload", ids[1], outcomes[1].failure.reason),
        ("upload.created", f"{UPLOADS}/CreateUpload", given_up, "OK"),
        ("upload.cancelled", f"{UPLOADS}/CancelUpload", given_up, "OK"),
    ]


def test_changes_of_access(audited: Audited) -> None:
    (first,) = audited.lines(1)
    assert (first["event"], first["principal"]["subject"]) == ("token.created", "")
    token, secret = audited.token("WRITE", "READ")
    ticket = audited.call(UploadServiceStub, "CreateTicket", CreateTicketRequest(), secret)
    image = audited.image()
    audited.link(id=image)
    key = audited.call(AdminServiceStub, "RotateLinkKey", RotateLinkKeyRequest(end_links=True), audited.admin)
    audited.call(AdminServiceStub, "RevokeToken", RevokeTokenRequest(id=ticket.id), audited.admin)
    audited.call(AdminServiceStub, "RevokeToken", RevokeTokenRequest(id=token), audited.admin)
    assert audited.events(8) == [
        ("token.created", f"{ADMIN}/CreateToken", token, "OK"),
        ("ticket.created", f"{UPLOADS}/CreateTicket", ticket.id, "OK"),
        ("image.stored", f"{USUARIO}/ProcessImage", image, "OK"),
        ("link.signed", f"{IMAGES}/SignImageUrl", image, "OK"),
        ("link_key.created", f"{ADMIN}/RotateLinkKey", key.key_id, "OK"),
        ("link_key.revoked", f"{ADMIN}/RotateLinkKey", "others", "OK"),
        ("ticket.revoked", f"{ADMIN}/RevokeToken", ticket.id, "OK"),
        ("token.revoked", f"{ADMIN}/RevokeToken", token, "OK"),
    ]
    made_by = [line["principal"] for line in audited.lines()]
    assert made_by[2] == {"subject": "token:somebody", "credential": token}


def test_what_ends_with_a_token_has_a_line_each(audited: Audited) -> None:
    token, secret = audited.token("WRITE")
    tickets = [
        audited.call(UploadServiceStub, "CreateTicket", CreateTicketRequest(), secret).id for _ in range(3)
    ]
    audited.call(AdminServiceStub, "RevokeToken", RevokeTokenRequest(id=tickets[0]), audited.admin)
    audited.call(AdminServiceStub, "RevokeToken", RevokeTokenRequest(id=token), audited.admin)
    revoked = [event for event in audited.events(8) if event[0].endswith("revoked")]
    assert revoked[:2] == [
        ("ticket.revoked", f"{ADMIN}/RevokeToken", tickets[0], "OK"),
        ("token.revoked", f"{ADMIN}/RevokeToken", token, "OK"),
    ]
    assert sorted(revoked[2:]) == sorted(
        ("ticket.revoked", f"{ADMIN}/RevokeToken", ticket, "OK") for ticket in tickets[1:]
    )


def test_sessions(audited: Audited) -> None:
    """One that is begun, one that takes its place, and signing out."""
    host, _, port = audited.address.rpartition(":")
    origin = f"http://{audited.address}"
    with closing(HTTPConnection(host, int(port), timeout=DEADLINE)) as connection:

        def ask(verb: str, **headers: str) -> str:
            connection.request(verb, "/session", headers={"origin": origin, **headers})
            answer = connection.getresponse()
            answer.read()
            return (answer.headers["set-cookie"] or "").partition(";")[0]

        first = ask("POST", authorization=f"Bearer {audited.admin}")
        second = ask("POST", authorization=f"Bearer {audited.admin}", cookie=first)
        ask("DELETE", cookie=second)
        ask("DELETE", cookie=second)
    lines = audited.lines(5)[1:]
    assert [(line["event"], line["method"]) for line in lines] == [
        ("session.created", "http/sign in"),
        ("session.ended", "http/sign in"),
        ("session.created", "http/sign in"),
        ("session.ended", "http/sign out"),
    ]
    ids = [line["object"]["id"] for line in lines]
    assert (ids[0], ids[2]) == (ids[1], ids[3])
    text = audited.path.read_text()
    assert first.partition("=")[2] not in text
    assert second.partition("=")[2] not in text


def test_a_message_of_a_stream_that_is_refused_has_a_line(alone: Audited) -> None:
    token, secret = alone.token("WRITE", quota=Quota(stored_images=1))
    stub = UsuarioServicioStub(alone.channel)
    options: dict[str, Any] = {"metadata": metadata(secret), "timeout": DEADLINE}
    # What is no image is refused without a line. It comes alone: images of a stream are taken in at once.
    for images in ([b"no image"], [IMAGE, IMAGE]):
        stream = iter([GetImage(image=image) for image in images])
        assert len(list(stub.ImageStreamReply(stream, **options))) == len(images)
    users = iter([GetUserRequest(name="Eva", image=IMAGE), GetUserRequest(name="Eva")])
    assert len(list(stub.GetUserBidiStream(users, **options))) == 2
    refusals = [line for line in alone.lines(6) if line["event"] == "refused"]
    assert [(line["method"], line["outcome"]) for line in refusals] == [
        (f"{USUARIO}/ImageStreamReply", "QUOTA_EXCEEDED"),
        (f"{USUARIO}/GetUserBidiStream", "QUOTA_EXCEEDED"),
    ]
    assert all(line["principal"]["credential"] == token for line in refusals)


def test_refusals(alone: Audited) -> None:
    token, secret = alone.token("READ", quota=Quota(calls_per_second=0.001))
    limits = f"{UPLOADS}/GetLimits"
    for given in (None, mint(TOKEN), alone.admin[:-1] + "_"):
        refused(alone.limits, given)
    store = GetUserRequest(image=IMAGE)
    refused(alone.call, UsuarioServicioStub, "ProcessImage", store, secret)
    alone.limits(secret)
    refused(alone.limits, secret)
    path = alone.link(id=alone.image())
    assert fetched(alone.address, path + "x")[0] == 401
    image = path.partition("?")[0].rpartition("/")[2]
    events = [event for event in alone.events(9) if event[0] == "refused"]
    assert events == [
        ("refused", limits, "", "NO_CREDENTIALS"),
        ("refused", limits, "", "TOKEN_UNKNOWN"),
        ("refused", limits, "", "TOKEN_MISTYPED"),
        ("refused", f"{USUARIO}/ProcessImage", "", "SCOPE_MISSING"),
        ("refused", limits, "", "RATE_EXCEEDED"),
        ("refused", "http/images", image, "LINK_INVALID"),
    ]
    who = {one["outcome"]: one["principal"] for one in alone.lines()}
    assert who["SCOPE_MISSING"] == who["RATE_EXCEEDED"]
    assert who["SCOPE_MISSING"] == {"subject": "token:somebody", "credential": token}
    assert who["TOKEN_UNKNOWN"] == {"subject": "", "credential": ""}
    alone.call(AdminServiceStub, "RevokeToken", RevokeTokenRequest(id=token), alone.admin)
    refused(alone.limits, secret)
    assert alone.lines(12)[-1]["principal"] == {"subject": "", "credential": token}


def test_each_call_has_an_id_that_the_client_does_not_choose(audited: Audited) -> None:
    stub = UsuarioServicioStub(audited.channel)
    for chosen in ("mine", "mine", "x" * 5000):
        stub.ProcessImage(
            GetUserRequest(image=IMAGE),
            metadata=metadata(audited.admin, ("x-request-id", chosen)),
            timeout=DEADLINE,
        )
    ids = [line["request_id"] for line in audited.lines(4)[1:]]
    assert len(set(ids)) == 3
    assert all(8 <= len(one) <= 64 and "mine" not in one and "xx" not in one for one in ids)


def test_names_cannot_forge_lines_and_secrets_in_them_are_hidden(audited: Audited) -> None:
    stub, with_admin = UsuarioServicioStub(audited.channel), metadata(audited.admin)
    for name in ('a"}\n{"event": "image.deleted"}', audited.admin):
        stub.GetUser(GetUserRequest(name=name), metadata=with_admin, timeout=DEADLINE)
    events = audited.events(2)
    assert [event[2] for event in events] == ['a"}\n{"event": "image.deleted"}', "[secret]"]
    assert audited.admin not in audited.path.read_text()


def test_many_refusals_of_one_client_are_counted(alone: Audited) -> None:
    """So that nobody fills the disk with them."""
    host, _, port = alone.address.rpartition(":")
    with closing(HTTPConnection(host, int(port), timeout=DEADLINE)) as connection:
        for _ in range(1000):
            connection.request("GET", "/images/x")
            connection.getresponse().read()

    def counted() -> int:
        written = map(json.loads, whole_lines(alone.path))
        lines = [one for one in written if one["event"] == "refused"]
        assert len(lines) < 1000
        return len([one for one in lines if one["outcome"] != "LEFT_OUT"]) + sum(
            one.get("left_out", 0) for one in lines
        )

    wait(lambda: counted() == 1000)


def test_sighup_opens_it_again(alone: Audited) -> None:
    alone.image()
    alone.lines(2)
    old = alone.path.with_name("audit.log.1")
    alone.path.rename(old)
    alone.server._process.send_signal(signal.SIGHUP)
    wait(alone.path.exists)
    alone.image()
    (line,) = alone.lines(1)
    assert line["event"] == "image.stored"
    assert len(old.read_bytes().splitlines()) == 2
    assert alone.server.stop() == 0


def test_what_came_last_is_written_at_the_end(alone: Audited) -> None:
    image = alone.image()
    alone.server.stop()
    assert alone.events(1)[-1][2] == image


def test_it_must_be_writable_at_the_start(start: Callable[..., Server], tmp_path: Path) -> None:
    with pytest.raises(ServerError) as error:
        start(tmp_path / "data", audit_log=str(tmp_path / "missing" / "audit.log"))
    (text,) = str(error.value).strip().splitlines()
    assert text.endswith("audit.log: No such file or directory.")


def test_without_credentials(start: Callable[..., Server], tmp_path: Path) -> None:
    """A server that lets everybody in writes down what is changed, too."""
    path = tmp_path / "audit.log"
    server = start(tmp_path / "data", audit_log=str(path))
    with grpc.insecure_channel(server.address) as channel:
        UsuarioServicioStub(channel).ProcessImage(GetUserRequest(image=IMAGE), timeout=DEADLINE)
    wait(lambda: path.read_bytes().count(b"\n") == 1)
    line = json.loads(path.read_bytes())
    assert line["principal"] == {"subject": "", "credential": ""}
