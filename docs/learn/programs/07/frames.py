from queue import SimpleQueue

import grpc
from proxy import Proxy

from conexiones.gen import user_pb2, user_pb2_grpc

NAMES = {0: "DATA", 1: "HEADERS"}


class Listening(Proxy):
    """Keeps what the server sent."""

    heard = b""

    def passing(self, data: bytes, to_server: bool) -> bytes:
        if not to_server:
            self.heard += data
        return data

    def frames(self) -> list[str]:
        """The types of HTTP/2 frames: three bytes of length, one of type, five more, and the content."""
        types, start = [], 0
        while start < len(self.heard):
            types.append(self.heard[start + 3])
            start += 9 + int.from_bytes(self.heard[start : start + 3], "big")
        return [NAMES[type] for type in types if type in NAMES]


whole, cut = Listening(), Listening()
requests = SimpleQueue()
requests.put(user_pb2.GetUserRequest(name="Carla"))

with grpc.insecure_channel(whole.address) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    stub.GetUser(user_pb2.GetUserRequest(name="Carla"), timeout=10)

with grpc.insecure_channel(cut.address) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    try:
        for _ in stub.GetUserBidiStream(iter(requests.get, None), timeout=10):
            cut.cut()
    except grpc.RpcError as error:
        print(error.code().name)
requests.put(None)

print(*whole.frames())
print(*cut.frames())
