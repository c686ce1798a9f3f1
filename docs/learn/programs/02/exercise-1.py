import sys

import grpc

messages, services = grpc.protos_and_services("exercise_1.proto")

with grpc.insecure_channel("localhost:50051") as channel:
    stub = services.UsuarioServicioStub(channel)
    reply = stub.GetUser(messages.GetUserRequest(name="Olga", pow=5), timeout=10)

if not hasattr(reply, "user"):
    sys.exit("Not yet · Todavía no")
print(reply.user.pow_squared)
