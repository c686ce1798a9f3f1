"""A disk that is full to its last byte can be relieved by deleting images and cancelling uploads."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import grpc
import pytest

from conexiones.gen.conexiones.v1.access_pb2 import (
    CreateTokenRequest,
    RevokeTokenRequest,
    RotateLinkKeyRequest,
)
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub
from conexiones.gen.conexiones.v1.images_pb2 import DeleteImageRequest, GetImageRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CancelUploadRequest,
    CreateUploadRequest,
    Upload,
    WriteChunkRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.failures import failure, reason
from tests.support.lengths import EVERY_STEP
from tests.support.waiting import DEADLINE

FULL = (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL")
SMALL, LARGE = 20, 4
KINDS = ("memory", "ext4")
ALL = [*product(KINDS, [False, True])]
SOME = [("memory", False), ("memory", True), ("ext4", True)]
"""The file system, and whether the server is restarted: all of them with `make faults`."""


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "memory":
        mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    else:
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(32 << 20)
        # Debian has it where only root looks for programs.
        make = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if not make or subprocess.run([make, "-q", "-m", "0", str(image)], check=False).returncode:
            pytest.skip("there is no ext4 here")
        mount = ["mount", "-o", "loop", str(image), str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        needed = request.param == "memory" and os.environ.get("CI") == "true"
        assert not needed, "CI must be able to mount a tmpfs"
        pytest.skip(f"mounting a small file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Takes all the space that there is."""
    with path.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def picture(number: int, side: int) -> bytes:
    return b"".join(bitmap(side, side, seed=number))


@pytest.mark.parametrize(("small_disk", "restarted"), ALL if EVERY_STEP else SOME, indirect=["small_disk"])
def test_a_full_disk_is_relieved_by_deleting(
    start: Callable[..., Server], small_disk: Path, restarted: bool
) -> None:
    server = start(small_disk / "data")
    filler = small_disk / "filler"
    with grpc.insecure_channel(server.address) as channel:
        stub, uploads = UsuarioServicioStub(channel), UploadServiceStub(channel)
        images = ImageServiceStub(channel)

        def stored(number: int, side: int) -> str:
            request = GetUserRequest(name=f"{number}", image=picture(number, side))
            stub.GetUser(request, timeout=DEADLINE)
            reply = stub.ProcessImage(GetUserRequest(image=request.image), timeout=DEADLINE)
            return str(reply.image_info.id)

        ids = [stored(number, 30) for number in range(SMALL)]
        ids += [stored(SMALL + number, 700) for number in range(LARGE)]
        create = CreateUploadRequest(request_id=str(uuid.uuid4()))
        upload = uploads.CreateUpload(create, timeout=DEADLINE).upload.id
        uploads.WriteChunk(WriteChunkRequest(upload_id=upload, data=picture(99, 700)), timeout=DEADLINE)

        # Full, and the log of the catalog has no room any more either.
        user = GetUserRequest(name="u" * 200, pow=1)

        def fill_up() -> None:
            """Until a call is refused: what was deleted gives its room a moment later."""
            with pytest.raises(grpc.RpcError) as refused:  # noqa: PT012 (one of them is refused)
                for number in range(10_000):
                    fill(filler)
                    user.name = f"{'u' * 200}{number}"
                    stub.GetUser(user, timeout=DEADLINE)
            assert refused.value.code() == FULL[0]

        fill_up()
        if restarted:
            fill(filler)
            server.stop()
            fill(filler)
            server.start()
        for image_id in ids:
            images.DeleteImage(DeleteImageRequest(id=image_id), timeout=DEADLINE, wait_for_ready=True)
        cancelled = uploads.CancelUpload(CancelUploadRequest(id=upload), timeout=DEADLINE).upload
        assert cancelled.state == Upload.STATE_CANCELLED
        assert list((server.data_dir / "uploads").iterdir()) == []
        gone = failure(images.GetImage, GetImageRequest(id=ids[0]))
        assert gone == (grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND")

        fill_up()
        assert failure(stub.GetUser, user) == FULL
        filler.unlink()
        stub.GetUser(user, timeout=DEADLINE)
        assert (server.data_dir / "ballast").stat().st_size == 1 << 20
        stub.ProcessImage(GetUserRequest(image=picture(5, 1000)), timeout=DEADLINE)
    assert server.stop() == 0


@pytest.mark.parametrize("small_disk", KINDS if EVERY_STEP else KINDS[:1], indirect=True)
def test_a_token_is_revoked_on_a_full_disk(start: Callable[..., Server], small_disk: Path) -> None:
    """And links are ended, by another key."""
    server = start(small_disk / "data", auth="required")
    secret = (server.data_dir / "admin-token").read_text().strip()
    filler = small_disk / "filler"
    call = {"metadata": [("authorization", f"Bearer {secret}")], "timeout": DEADLINE}
    request = CreateTokenRequest(name="a" * 64, scopes=["SCOPE_READ"])

    def works(address: str, token: str) -> bool:
        with grpc.insecure_channel(address) as channel:
            images = ImageServiceStub(channel)
            metadata = [("authorization", f"Bearer {token}")]
            return (
                failure(images.GetImage, GetImageRequest(id="none"), metadata=metadata)[1] != "TOKEN_REVOKED"
            )

    with grpc.insecure_channel(server.address) as channel:
        admin = AdminServiceStub(channel)
        made = admin.CreateToken(request, **call)
        with pytest.raises(grpc.RpcError) as refused:  # noqa: PT012 (one of them is refused)
            for _ in range(10_000):
                fill(filler)
                admin.CreateToken(request, **call)
        assert (refused.value.code(), reason(refused.value)) == FULL
        admin.RevokeToken(RevokeTokenRequest(id=made.token.id), **call)
        admin.RotateLinkKey(RotateLinkKeyRequest(end_links=True), **call)
        assert not works(server.address, made.secret)
    server.kill()
    server.start()
    assert not works(server.address, made.secret)
    assert works(server.address, secret)
