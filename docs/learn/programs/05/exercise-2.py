import sys

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc


def advice(code: grpc.StatusCode) -> str:
    return "?"


found = []
for address, name in (("localhost:50051", ""), ("localhost:1", "Vera"), ("localhost:50051", "Vera")):
    with grpc.insecure_channel(address) as channel:
        stub = user_pb2_grpc.UsuarioServicioStub(channel)
        try:
            stub.GetUser(user_pb2.GetUserRequest(name=name), timeout=10)
            found.append("ok")
        except grpc.RpcError as error:
            found.append(advice(error.code()))

print(*found)
if found != ["fix", "retry", "ok"]:
    sys.exit("Not yet · Todavía no")
