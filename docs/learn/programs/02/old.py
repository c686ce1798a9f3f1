import grpc

messages, services = grpc.protos_and_services("tutorial.proto")

with grpc.insecure_channel("localhost:50051") as channel:
    stub = services.UsuarioServicioStub(channel)
    reply = stub.GetUser(messages.GetUserRequest(name="Olga", pow=5), timeout=10)
    print(reply.message)
    print(*[field.name for field in reply.DESCRIPTOR.fields])
