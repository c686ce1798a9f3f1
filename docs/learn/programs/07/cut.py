from pathlib import Path
from queue import SimpleQueue

import grpc
from proxy import Proxy

from conexiones.gen import user_pb2, user_pb2_grpc

config = Path("docs/learn/programs/07/retry.json").read_text()
requests = SimpleQueue()
proxy = Proxy()

with grpc.insecure_channel(proxy.address, [("grpc.service_config", config)]) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    call = stub.GetUserBidiStream(iter(requests.get, None), timeout=10)
    requests.put(user_pb2.GetUserRequest(name="Abril"))
    try:
        for reply in call:
            print(reply.name)
            proxy.cut()
    except grpc.RpcError as error:
        print(error.code().name)
    print(stub.GetUser(user_pb2.GetUserRequest(name="Abril", pow=7), timeout=10).message)
requests.put(None)
