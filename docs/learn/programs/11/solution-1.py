import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc


class Busy(user_pb2_grpc.UsuarioServicioServicer):
    def GetUser(self, request, context):
        context.abort(grpc.StatusCode.UNAVAILABLE, "busy")


def greet(stub):
    try:
        return stub.GetUser(user_pb2.GetUserRequest(name="Nora"), timeout=10).message
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return "Try again later"


server = grpc.server(ThreadPoolExecutor())
user_pb2_grpc.add_UsuarioServicioServicer_to_server(Busy(), server)
port = server.add_insecure_port("localhost:0")
server.start()
with grpc.insecure_channel(f"localhost:{port}") as channel:
    try:
        said = greet(user_pb2_grpc.UsuarioServicioStub(channel))
    except grpc.RpcError as error:
        said = error.code().name
server.stop(None).wait()

print(said)
if said != "Try again later":
    sys.exit("Not yet · Todavía no")
