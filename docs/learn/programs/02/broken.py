import grpc

messages, services = grpc.protos_and_services("broken.proto")

with grpc.insecure_channel("localhost:50051") as channel:
    stub = services.UsuarioServicioStub(channel)
    try:
        print(stub.GetUser(messages.GetUserRequest(name="Olga", pow=5), timeout=10))
    except grpc.RpcError as error:
        print(error.code().name, error.details())
