"""What belongs to owners in a data folder: it is stored with tokens, and shown to them."""

from typing import Any

import grpc

from conexiones.gen.conexiones.v1.access_pb2 import CreateTokenRequest, RevokeTokenRequest
from conexiones.gen.conexiones.v1.images_pb2 import DeleteImageRequest
from conexiones.gen.conexiones.v1.status_pb2 import GetStatusRequest
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    FinishUploadRequest,
    GetLimitsRequest,
    GetUploadRequest,
    Upload,
)
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.testing import Server
from tests.support.callers import Caller, picture
from tests.support.failures import reason

QUOTA = {"stored_images": 6, "stored_bytes": 1_000_000, "open_uploads": 3}


def administrator(server: Server, channel: grpc.Channel) -> Caller:
    return Caller(server, channel, (server.data_dir / "admin-token").read_text().strip())


def fill(server: Server) -> dict[str, Any]:
    """Gives a server that asks for credentials two owners, and says what it shows to them afterwards.

    The secrets of their tokens are among that: they open nothing but this folder.
    """
    with grpc.insecure_channel(server.address) as channel:
        admin = administrator(server, channel)
        owners = {
            "limited": admin.token("limited", own=True, quota=QUOTA),
            "free": admin.token("free", own=True),
        }
        for owner in owners.values():
            for seed in range(3):
                owner.stores(seed, user="ana")
            owner.call(owner.users.GetUser, GetUserRequest(name="ana", pow=5, image=picture(4)))
            owner.call(owner.images.DeleteImage, DeleteImageRequest(id=owner.listed()[-1]))
            owner.ticket(max_images=2).stores(5)
        uploads = {name: owner.begins(picture(6), request_id="open") for name, owner in owners.items()}
        gone = admin.call(admin.admin.CreateToken, CreateTokenRequest(name="gone", scopes=["SCOPE_READ"]))
        admin.call(admin.admin.RevokeToken, RevokeTokenRequest(id=gone.token.id))
        return {
            "revoked": gone.secret,
            "owners": {
                name: {"secret": owner.secret, **shown(owner, uploads[name])}
                for name, owner in owners.items()
            },
        }


def shown(owner: Caller, upload: str) -> dict[str, Any]:
    """What a server shows to an owner, as JSON has it."""
    access = owner.call(owner.uploads.GetLimits, GetLimitsRequest()).access
    status = owner.call(owner.status.GetStatus, GetStatusRequest())
    user = owner.call(owner.users.GetUser, GetUserRequest(name="ana")).user
    begun = owner.call(owner.uploads.GetUpload, GetUploadRequest(id=upload)).upload
    return {
        "subject": access.subject,
        "images": owner.listed(),
        "of_user": owner.listed(user="ana"),
        "usage": list(owner.usage),
        "status": [status.image_count, status.image_bytes, status.user_count, status.open_upload_count],
        "user": [user.pow, user.image_id],
        "upload": [upload, Upload.State.Name(begun.state), begun.committed_size],
    }


def check(server: Server, state: dict[str, Any]) -> None:
    """Whether a server shows to owners what that version showed, and lets them go on."""
    with grpc.insecure_channel(server.address) as channel:
        admin = administrator(server, channel)
        for seen in state["owners"].values():
            owner = admin.with_secret(seen["secret"])
            assert shown(owner, seen["upload"][0]) | {"secret": seen["secret"]} == seen
            assert owner.begins(request_id="open") == seen["upload"][0]
        refused = admin.with_secret(state["revoked"])
        assert reason(refused.refused(refused.uploads.GetLimits, GetLimitsRequest())) == "TOKEN_REVOKED"
        for name, allowed in (("limited", 1), ("free", 3)):
            owner = admin.with_secret(state["owners"][name]["secret"])
            finish = FinishUploadRequest(id=state["owners"][name]["upload"][0], size_bytes=len(picture(6)))
            assert owner.call(owner.uploads.FinishUpload, finish).upload.state == Upload.STATE_READY
            had = owner.usage[0]
            for seed in range(allowed):
                owner.stores(seed)
            assert owner.usage[0] == had + allowed
        owner = admin.with_secret(state["owners"]["limited"]["secret"])
        over = GetUserRequest(image=picture())
        assert reason(owner.refused(owner.users.ProcessImage, over)) == "QUOTA_EXCEEDED"


def belongs_to_nobody(server: Server, images: set[str], names: list[str]) -> None:
    """Whether what was stored before there were owners is there only for those who see everything."""
    with grpc.insecure_channel(server.address) as channel:
        admin = administrator(server, channel)
        owner = admin.token("new", own=True)
        assert owner.listed() == []
        assert owner.usage == (0, 0, 0)
        assert set(admin.listed(page_size=1000)) >= images
        for name in names:
            assert owner.call(owner.users.GetUser, GetUserRequest(name=name)).user.pow == 0
