import grpc

from conexiones.gen import user_pb2, user_pb2_grpc


def square(address, name, pow):
    with grpc.insecure_channel(address) as channel:
        stub = user_pb2_grpc.UsuarioServicioStub(channel)
        reply = stub.GetUser(user_pb2.GetUserRequest(name=name, pow=pow), timeout=10)
        return reply.user.pow_squared
