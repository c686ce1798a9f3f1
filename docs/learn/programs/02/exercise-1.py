import sys

import grpc

messages, services = grpc.protos_and_services("exercise_1.proto")

with grpc.insecure_channel("localhost:50051") as channel:
    stub = services.UsuarioServicioStub(channel)
    reply = stub.GetUser(messages.GetUserRequest(name="Olga", pow=100_000), timeout=10)

square = getattr(getattr(reply, "user", None), "pow_squared", None)
print("square:", "?" if square is None else square)
if square != 10_000_000_000:
    sys.exit("Not yet · Todavía no")
