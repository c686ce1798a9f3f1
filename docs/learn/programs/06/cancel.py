from queue import SimpleQueue

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

requests = SimpleQueue()

with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    call = stub.GetUserBidiStream(iter(requests.get, None), timeout=10)
    requests.put(user_pb2.GetUserRequest(name="Wanda"))
    try:
        for reply in call:
            print(reply.name)
            call.cancel()
    except grpc.RpcError as error:
        print(error.code().name)
requests.put(None)
