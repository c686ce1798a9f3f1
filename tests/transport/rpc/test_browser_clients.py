"""Browser clients in a real browser, on a page of another origin than the server's."""

import base64
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from conexiones.gen.conexiones.v1.images_pb2 import ListImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import CreateTicketRequest
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.calls import GET_USER, PROCESS_IMAGE, SETTINGS, bad, good, user
from tests.support.chromium import browse, served
from tests.support.clients import Call, Outcome, grpc_outcome, grpcio, node, readable, unpacked
from tests.support.paths import ROOT, WEB

CLIENTS = {
    "grpc-web text",
    "grpc-web binary",
    "connect-web JSON",
    "connect-web protobuf",
    "connect-web gRPC-Web",
}


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page, built."""
    node()
    folder = tmp_path_factory.mktemp("web")
    (folder / "node_modules").symlink_to(WEB / "node_modules")
    shutil.copy(WEB / "page.ts", folder)
    (folder / "gen").mkdir()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{ROOT / 'proto'}",
            "--plugin=node_modules/.bin/protoc-gen-es",
            "--es_out=gen",
            "--es_opt=target=ts",
            "user.proto",
        ],
        cwd=folder,
        check=True,
    )
    built = folder / "built"
    esbuild = ["node_modules/.bin/esbuild", "page.ts", "--bundle", f"--outdir={built}", "--log-level=warning"]
    subprocess.run(esbuild, cwd=folder, check=True)
    (built / "index.html").write_text(
        '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><script src="page.js"></script>'
    )
    return built


@pytest.fixture
def origin(page: Path) -> Iterator[str]:
    """The origin of the page, which is not that of any server."""
    with served(page) as origin:
        yield origin


def run(origin: str, server: Server, calls: list[Call], **headers: str) -> dict[str, Any]:
    """What the page has to do, as `browse` takes it."""
    requests = [{"path": call.path, "request": base64.b64encode(call.messages[0]).decode()} for call in calls]
    return {"url": f"{origin}/", "base": f"http://{server.address}", "calls": requests, "headers": headers}


def outcome(answer: dict[str, Any], call: Call) -> Outcome:
    replies = [base64.b64decode(answer["reply"])] if answer["reply"] else []
    status = answer["status"] + "=" * (-len(answer["status"]) % 4)
    found = grpc_outcome(answer["code"], answer["message"], base64.b64decode(status), call, replies)
    if not answer["details"]:
        return found
    boxes = [
        AnyMessage(type_url=detail["type"], value=base64.b64decode(detail["value"]))
        for detail in answer["details"]
    ]
    return Outcome(code=found.code, message=found.message, details=readable(map(unpacked, boxes)))


def test_browsers_get_the_answers_of_grpc(start: Callable[..., Server], origin: str) -> None:
    calls: list[Call] = [
        call for call in (*good(), *bad()) if call.path in {GET_USER, PROCESS_IMAGE} and not call.json
    ]
    server = start(cors_origins=f"https://example.org {origin}", **SETTINGS)
    expected = grpcio(server.address, calls)
    [found] = browse(run(origin, server, calls))
    differences = [
        f"{call} by {name}: {outcome(answer, call)} instead of {wanted}"
        for name, answers in found["answers"].items()
        for call, answer, wanted in zip(calls, answers, expected, strict=True)
        if outcome(answer, call) != wanted
    ]
    assert found["answers"].keys() == CLIENTS
    assert not differences, "\n".join(differences)
    # Connect refuses with an HTTP status of its own, and the browser logs each such response.
    remark = "error: Failed to load resource: the server responded with a status of 4"
    assert [line for line in found["said"] if not line.startswith(remark)] == []
    refused = sum(wanted.code != 0 for wanted in expected)
    assert len(found["said"]) == 2 * refused


ONE = [Call(name="", path=GET_USER, messages=(user("Ana", 7),))]


def test_pages_of_other_origins_are_refused(start: Callable[..., Server], origin: str) -> None:
    closed = start()
    others = start(cors_origins="https://example.org, http://127.0.0.1")
    runs = browse(run(origin, closed, ONE), run(origin, others, ONE))
    for server, found in zip((closed, others), runs, strict=True):
        assert found["answers"].keys() == CLIENTS
        for name, [answer] in found["answers"].items():
            assert answer["code"] != 0, name
            assert not answer["reply"], name
        assert sum("blocked by CORS policy" in line for line in found["said"]) == len(CLIENTS)
        # The server did nothing of what was asked.
        with grpc.insecure_channel(server.address) as channel:
            assert UsuarioServicioStub(channel).GetUser(GetUserRequest(name="Ana")).user.pow == 0


def test_pages_of_any_origin_may_be_let_in(start: Callable[..., Server], origin: str) -> None:
    [found] = browse(run(origin, start(cors_origins="*"), ONE))
    assert {name: answer["code"] for name, [answer] in found["answers"].items()} == dict.fromkeys(CLIENTS, 0)
    assert found["said"] == []


def test_a_page_of_another_origin_stores_with_a_ticket(start: Callable[..., Server], origin: str) -> None:
    """A backend hands the ticket to its page, which may store as many images, and do nothing else."""
    server = start(auth="required", cors_origins=origin)
    token = (server.data_dir / "admin-token").read_text().strip()
    metadata = [("authorization", f"Bearer {token}")]
    with grpc.insecure_channel(server.address) as channel:
        asked = CreateTicketRequest(max_images=len(CLIENTS), max_bytes=10**6, formats=["BMP"])
        ticket = UploadServiceStub(channel).CreateTicket(asked, metadata=metadata).secret
        image = GetUserRequest(image=b"".join(bitmap(20, 10))).SerializeToString()
        calls = [Call(name="", path=PROCESS_IMAGE, messages=(image,)), *ONE]
        found, nobody = browse(
            run(origin, server, calls, authorization=f"Bearer {ticket}"), run(origin, server, calls)
        )
        for name in CLIENTS:
            assert [answer["code"] for answer in found["answers"][name]] == [0, 7], name
            assert [answer["code"] for answer in nobody["answers"][name]] == [16, 16], name
        stored = ImageServiceStub(channel).ListImages(ListImagesRequest(), metadata=metadata).images
    assert [image.format for image in stored] == ["BMP"] * len(CLIENTS)
