"""Quotas are right after the server was killed, however it was."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import grpc

from conexiones.gen.conexiones.v1.images_pb2 import DeleteImageRequest
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.testing import Server
from tests.support.callers import Caller, picture
from tests.support.failures import reason
from tests.support.waiting import DEADLINE

IMAGES = 60
SIZE = len(picture())


def test_killed_under_load(start: Callable[..., Server], tmp_path: Path) -> None:
    """What is acknowledged counts, what was not stored does not, and nothing passes the quota."""
    server = start(tmp_path, auth="required")
    acknowledged: set[str] = set()
    secret = ticket = ""
    for round in range(3):
        busy = Event()
        with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(9) as pool:
            admin = Caller(server, channel, (tmp_path / "admin-token").read_text().strip())
            if not secret:
                quota = {"stored_images": IMAGES, "stored_bytes": IMAGES * SIZE}
                owner = admin.token("owner", own=True, quota=quota)
                secret, ticket = owner.secret, owner.ticket(max_images=40, max_bytes=40 * SIZE).secret
            callers = (admin.with_secret(secret), admin.with_secret(ticket))

            def store(index: int, callers: tuple[Caller, Caller] = callers, busy: Event = busy) -> str | None:
                try:
                    return callers[index % 2].stores(index)
                except grpc.RpcError as error:
                    if reason(error) in ("QUOTA_EXCEEDED", "TICKET_USED_UP"):
                        return None
                    return ""  # the server is gone
                finally:
                    if index >= 15:
                        busy.set()

            results = [pool.submit(store, index) for index in range(40)]
            assert busy.wait(DEADLINE)
            server.kill()
            acknowledged |= {found for result in results if (found := result.result())}
        server.start()
        with grpc.insecure_channel(server.address) as channel:
            owner, guest = Caller(server, channel, secret), Caller(server, channel, ticket)
            listed = owner.listed(page_size=1000)
            assert acknowledged <= set(listed)
            assert owner.usage == (len(listed), len(listed) * SIZE, 0)
            assert len(listed) <= IMAGES
            assert guest.usage[0] <= 40
            if round == 1:
                gone = listed[0]
                owner.call(owner.images.DeleteImage, DeleteImageRequest(id=gone))
                acknowledged.discard(gone)
                assert owner.usage[0] == len(listed) - 1
    with grpc.insecure_channel(server.address) as channel:
        owner = Caller(server, channel, secret)
        for _ in range(IMAGES - owner.usage[0]):
            owner.stores()
        over = GetUserRequest(image=picture())
        assert reason(owner.refused(owner.users.ProcessImage, over)) == "QUOTA_EXCEEDED"
        assert owner.usage == (IMAGES, IMAGES * SIZE, 0)
