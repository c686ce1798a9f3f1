from queue import SimpleQueue

import grpc
from proxy import Proxy

from conexiones.gen import user_pb2, user_pb2_grpc

requests = SimpleQueue()
proxy = Proxy()

with grpc.insecure_channel(proxy.address) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    call = stub.GetUserBidiStream(iter(requests.get, None), timeout=3)
    requests.put(user_pb2.GetUserRequest(name="Dalia"))
    try:
        for reply in call:
            print(reply.name)
            proxy.passing = lambda data, to_server: b""
            requests.put(user_pb2.GetUserRequest(name="Eloy"))
    except grpc.RpcError as error:
        print(error.code().name)
requests.put(None)
