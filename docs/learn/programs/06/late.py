import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    try:
        stub.GetUser(user_pb2.GetUserRequest(name="Yago", pow=6), timeout=0.000_001)
    except grpc.RpcError as error:
        print(error.code().name)
    for _ in range(2):
        print(stub.GetUser(user_pb2.GetUserRequest(name="Yago", pow=6), timeout=10).message)
