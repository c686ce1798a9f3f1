import grpc

from conexiones.gen import user_pb2, user_pb2_grpc


class Double:
    def GetUser(self, request, timeout):
        return user_pb2.GetUserReply(message=f"¡Hola, {request.name}!")


def greet(stub, name):
    return stub.GetUser(user_pb2.GetUserRequest(name=name), timeout=10).message


name = "Pablo Diego José Francisco de Paula " * 8
print("double:", greet(Double(), name)[:12])
with grpc.insecure_channel("localhost:50051") as channel:
    try:
        print("server:", greet(user_pb2_grpc.UsuarioServicioStub(channel), name)[:12])
    except grpc.RpcError as error:
        print("server:", error.details())
