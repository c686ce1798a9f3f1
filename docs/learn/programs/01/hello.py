import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    reply = stub.GetUser(user_pb2.GetUserRequest(name="Nora", pow=12), timeout=10)
    print(reply.message)
