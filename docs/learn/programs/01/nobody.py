import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

with grpc.insecure_channel("localhost:1") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    try:
        stub.GetUser(user_pb2.GetUserRequest(name="Nora", pow=12), timeout=10)
    except grpc.RpcError as error:
        print(error.code().name)
