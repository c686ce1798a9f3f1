from queue import SimpleQueue

import grpc

from conexiones.gen import user_pb2_grpc

silent = SimpleQueue()

with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    try:
        for reply in stub.GetUserBidiStream(iter(silent.get, None), timeout=0.5):
            print(reply.name)
    except grpc.RpcError as error:
        print(error.code().name)
silent.put(None)
