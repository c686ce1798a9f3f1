import sys
from pathlib import Path

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

sys.path.append("docs/learn/programs/07")
from proxy import Proxy


class Listening(Proxy):
    """Keeps what the client sent."""

    heard = b""

    def passing(self, data: bytes, to_server: bool) -> bytes:
        if to_server:
            self.heard += data
        return data


ca = Path("build/certs/ca.pem").read_bytes()
plain = Listening(server="localhost:50051")
secure = Listening(server="localhost:50443")

for proxy, channel in (
    (plain, grpc.insecure_channel(plain.address)),
    (secure, grpc.secure_channel(secure.address, grpc.ssl_channel_credentials(ca))),
):
    with channel:
        stub = user_pb2_grpc.UsuarioServicioStub(channel)
        try:
            stub.GetUser(user_pb2.GetUserRequest(name="Hugo"), timeout=10)
            code = grpc.StatusCode.OK
        except grpc.RpcError as error:
            code = error.code()
    print(code.name, proxy.heard[:3].hex(" "), "Hugo" if b"Hugo" in proxy.heard else "?")
