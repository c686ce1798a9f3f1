"""A program that forks, with clients of the server at ADDRESS: `python -m tests.sdk.forking CASE ADDRESS`.

Every case ends by itself: a child that hangs is killed by its alarm, and the program then fails.
"""

import asyncio
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from conexiones import AsyncClient, Client
from conexiones.errors import ConexionesError
from conexiones.gen.user_pb2 import GetImage
from conexiones.sdk import ConnectionLost, ForkedInCall, NewUser
from conexiones.sdk.connection import ours
from tests.sdk.proxy import Proxy

PIXEL = bytes.fromhex("424d3a0000000000000036000000280000000100000001000000010018000000000004000000") + bytes(
    20
)
HANG_SECONDS = 60


def in_child(work: Callable[[], object]) -> None:
    """Runs `work` in a forked child, which must succeed and then end as Python programs end."""
    child = os.fork()
    if not child:
        signal.alarm(HANG_SECONDS)
        work()
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status


def call(client: Client) -> None:
    assert client.limits().max_pixels
    assert client.upload(PIXEL).width == 1


def fresh(address: str) -> None:
    with Client(address) as client:
        call(client)


def refused(client: Client, address: str) -> None:
    for one in (client, Client(address)):
        try:
            one.limits()
        except ForkedInCall:
            one.close()
        else:
            raise AssertionError("a call was made without gRPC")


def only_refused(client: Client, address: str) -> None:
    refused(client, address)
    os._exit(0)


def before_any_call(address: str) -> None:
    client = Client(address)
    in_child(partial(fresh, address))
    in_child(partial(call, client))
    call(client)


def after_calls(address: str) -> None:
    with Client(address) as client:
        for _ in range(3):
            call(client)
            in_child(partial(fresh, address))
            in_child(partial(call, client))


def after_failures(address: str) -> None:
    kept = []
    with Client(address) as client, Client("127.0.0.1:1", timeout=1) as lost:
        for work in (
            lambda: client.image("no id of an image"),
            lambda: client.download("no id of an image"),
            lambda: client.upload(b"no image" * 1_000_000),
            lambda: client.stream_image(b"no image" * 1_000_000),
            lambda: client.process_image(b"no image"),
            lambda: next(client.watch("no token")),
            lambda: lost.image("no id of an image"),
        ):
            try:
                work()
            except (ConexionesError, ConnectionLost) as error:
                kept.append(error)  # with its traceback, and all that the frames there refer to
        in_child(partial(call, client))
        call(client)
    assert len(kept) == 7


def after_silence(address: str) -> None:
    """A server that is connected to and says nothing."""
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = f"127.0.0.1:{silent.getsockname()[1]}"
        with Client(address) as client, Client(there, timeout=0.3, retries=0, patience=0.5) as lost:
            for work in (
                lambda: lost.image("an id"),
                lambda: lost.download("an id"),
                lambda: lost.upload(PIXEL),
                lambda: lost.upload(bytes(3_000_000)),
                lambda: lost.stream_image(PIXEL),
                lambda: next(lost.upload_many([PIXEL])).image,
                lambda: next(iter(lost.images())),
            ):
                try:
                    work()
                except ConexionesError as error:
                    kept.append(error)
            in_child(partial(call, client))
    assert len(kept) == 7


def after_deadlines(address: str) -> None:
    """Transfers that the program has ended, of which it keeps the errors."""
    kept: list[BaseException] = []

    async def slowly() -> AsyncIterator[bytes]:
        while True:
            yield PIXEL
            await asyncio.sleep(0.01)

    async def ended(work: Callable[[AsyncClient], AsyncIterator[object]]) -> None:
        begun = asyncio.Event()

        async def run() -> None:
            async for _ in work(client):
                begun.set()

        async with AsyncClient(address) as client:
            running = asyncio.create_task(run())
            await begun.wait()
            running.cancel()
            await running

    async def late() -> None:
        async with AsyncClient(address) as client:
            await client.upload(slowly(), deadline=0.5)

    for work in (
        lambda client: client.image_stream(slowly()),
        lambda client: client.user_stream(NewUser(name="Ada") for _ in range(10_000)),
        lambda client: client.upload_many(slowly()),
        None,
    ):
        try:
            asyncio.run(ended(work) if work else late())
        except (asyncio.CancelledError, ConexionesError) as error:
            kept.append(error)
    in_child(partial(fresh, address))
    assert len(kept) == 4


def cancelled_below(address: str) -> None:
    """gRPC cancels a call in the middle of a write, as it does when the server has just ended it."""

    async def lost() -> ConnectionLost:
        async with Proxy(address, 1, most_bytes=1, faulty=0) as proxy:
            client = AsyncClient(proxy.address)
            try:
                async with client._connection.use() as link:
                    call = link.usuario.GetStreamImage()
                    try:
                        await ours(call.write(GetImage(image=PIXEL)))
                        proxy.stand_still()
                        asyncio.get_running_loop().call_soon(call.cancel)
                        await ours(call.write(GetImage(image=bytes(3_000_000))))
                    finally:
                        del call
            except ConnectionLost as error:
                return error
        raise AssertionError("the write was not cancelled")

    error = asyncio.run(lost())
    in_child(partial(fresh, address))
    assert "cancelled below" in str(error)


def beside_grpc(address: str) -> None:
    """The program has a channel of gRPC itself, which is idle; in the child it cannot even be freed."""
    import grpc  # the client has loaded it, without handlers of forks

    with grpc.insecure_channel(address) as own, Client(address) as client:
        grpc.channel_ready_future(own).result(HANG_SECONDS)
        for _ in range(2):
            in_child(partial(only_refused, client, address))
            call(client)


def after_close(address: str) -> None:
    fresh(address)
    in_child(partial(fresh, address))


def workers(address: str) -> None:
    """As web servers do: the application is loaded once, and each worker is a fork of it."""
    client = Client(address)
    call(client)
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            signal.alarm(HANG_SECONDS)
            threads = [threading.Thread(target=call, args=(client,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            in_child(partial(call, client))  # and a worker of a worker
            sys.exit(0)
        children.append(child)
    call(client)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4


def in_a_call(address: str) -> None:
    with Client(address) as client:
        listening = threading.Event()
        events = client.watch(ready=lambda _: listening.set())
        watching = threading.Thread(target=partial(next, events), daemon=True)
        watching.start()
        listening.wait()
        in_child(partial(refused, client, address))
        in_child(partial(refused, client, address))
        call(client)  # nothing has become of the parent, and the event comes
        watching.join()
        events.close()
        in_child(partial(call, client))


def with_a_generator(address: str) -> None:
    with Client(address) as client:
        for _ in client.images(page_size=1):
            # Between two pages no call is in flight.
            in_child(partial(call, client))
            break
        call(client)


def asynchronous(address: str) -> None:
    client = AsyncClient(address)

    async def calls() -> None:
        await client.limits()
        await client.upload(PIXEL)

    asyncio.run(calls())
    in_child(lambda: asyncio.run(calls()))
    asyncio.run(calls())  # in another loop than before


def methods(address: str) -> None:
    client = Client(address)
    call(client)
    for method in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            list(pool.map(call, [client, client]))
            pool.submit(fresh, address).result()
    call(client)


def pickled(address: str) -> None:
    with Client(address, timeout=7, patience=float("inf")) as client:
        call(client)
        other = pickle.loads(pickle.dumps(client))
        assert vars(other)["_client"]._connection.options == vars(client)["_client"]._connection.options
        call(other)
        other.close()
        call(client)


def subprocesses(address: str) -> None:
    """A subprocess with `preexec_fn` is a fork as well."""
    with Client(address) as client:
        call(client)
        for hook in (None, os.setpgrp):
            subprocess.run([sys.executable, "-c", ""], preexec_fn=hook, check=True)
            call(client)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
