import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc


class Naive(user_pb2_grpc.UsuarioServicioServicer):
    def ProcessImage(self, request, context):
        return user_pb2.GetUserReply(message=f"{len(request.image)} bytes")


server = grpc.server(ThreadPoolExecutor(), options=[("grpc.max_receive_message_length", 8 << 20)])
user_pb2_grpc.add_UsuarioServicioServicer_to_server(Naive(), server)
port = server.add_insecure_port("localhost:0")
server.start()

with grpc.insecure_channel(f"localhost:{port}") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    try:
        stub.ProcessImage(user_pb2.GetUserRequest(image=bytes(5_000_000)), timeout=60)
        outcome = "5 MB"
    except grpc.RpcError as error:
        outcome = error.code().name
server.stop(None).wait()

print(outcome)
if outcome != "5 MB":
    sys.exit("Not yet · Todavía no")
