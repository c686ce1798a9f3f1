import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

refusals = [(grpc.StatusCode.UNAVAILABLE, "busy"), (grpc.StatusCode.INVALID_ARGUMENT, "no such name")]


class Double(user_pb2_grpc.UsuarioServicioServicer):
    def GetUser(self, request, context):
        context.abort(*refusals.pop(0))


def greet(stub, name):
    return stub.GetUser(user_pb2.GetUserRequest(name=name), timeout=10).message


server = grpc.server(ThreadPoolExecutor())
user_pb2_grpc.add_UsuarioServicioServicer_to_server(Double(), server)
port = server.add_insecure_port("localhost:0")
server.start()
said = []
with grpc.insecure_channel(f"localhost:{port}") as channel:
    for name in ("Nora", "Nora"):
        try:
            said.append(greet(user_pb2_grpc.UsuarioServicioStub(channel), name))
        except grpc.RpcError as error:
            said.append(error.code().name)
server.stop(None).wait()

print(*said, sep=", ")
if said != ["Try again later", "INVALID_ARGUMENT"]:
    sys.exit("Not yet · Todavía no")
