from collections.abc import Iterator
from queue import SimpleQueue

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

outbox: SimpleQueue[user_pb2.GetUserRequest | None] = SimpleQueue()


def requests() -> Iterator[user_pb2.GetUserRequest]:
    while request := outbox.get():
        yield request


with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    replies = stub.GetUserBidiStream(requests(), timeout=10)
    for name in ("Pilar", "Quim", "Rita"):
        print("→", name)
        outbox.put(user_pb2.GetUserRequest(name=name, pow=len(name)))
        print("←", next(replies).pow)
    outbox.put(None)
