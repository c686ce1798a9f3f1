import sys

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    reply = stub.GetUser(user_pb2.GetUserRequest(name="Iker", pow=100_000), timeout=10)
    square = reply.user.pow_squared

print(square)
if square != 10_000_000_000:
    sys.exit("Not yet · Todavía no")
