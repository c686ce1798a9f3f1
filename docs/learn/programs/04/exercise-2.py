import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc


class Naive(user_pb2_grpc.UsuarioServicioServicer):
    def ProcessImage(self, request, context):
        return user_pb2.GetUserReply(message=f"{len(request.image)} bytes")


server = grpc.server(ThreadPoolExecutor())
user_pb2_grpc.add_UsuarioServicioServicer_to_server(Naive(), server)
port = server.add_insecure_port("localhost:0")
server.start()

outcomes = []
with grpc.insecure_channel(f"localhost:{port}") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    for size in (8_000_000, 9_000_000):
        try:
            stub.ProcessImage(user_pb2.GetUserRequest(image=bytes(size)), timeout=60)
            outcomes.append("OK")
        except grpc.RpcError as error:
            outcomes.append(error.code().name)
server.stop(None).wait()

print(*outcomes)
if outcomes != ["OK", "RESOURCE_EXHAUSTED"]:
    sys.exit("Not yet · Todavía no")
