import sys
from queue import SimpleQueue

import grpc
from proxy import Proxy

from conexiones.gen import user_pb2, user_pb2_grpc

requests = SimpleQueue()
proxy = Proxy()
options = []

with grpc.insecure_channel(proxy.address, options) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    call = stub.GetUserBidiStream(iter(requests.get, None), timeout=5)
    requests.put(user_pb2.GetUserRequest(name="Gala"))
    try:
        for reply in call:
            print(reply.name)
            proxy.passing = lambda data, to_server: b""
    except grpc.RpcError:
        pass
    code = call.code()
requests.put(None)

print(code.name)
print("cuts:", proxy.cuts)
if code is not grpc.StatusCode.UNAVAILABLE or proxy.cuts or not proxy.passed:
    sys.exit("Not yet · Todavía no")
