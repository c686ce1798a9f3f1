import sys
from queue import SimpleQueue

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

requests = SimpleQueue()
for name in ("Aina", "Biel", "Cora", "Dídac"):
    requests.put(user_pb2.GetUserRequest(name=name))
names = []

with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    call = stub.GetUserBidiStream(iter(requests.get, None), timeout=10)
    for reply in call:
        names.append(reply.name)
        if len(names) == 4:
            requests.put(None)
    code = call.code()
requests.put(None)

print(*names, code.name)
if names != ["Aina", "Biel"] or code is not grpc.StatusCode.CANCELLED:
    sys.exit("Not yet · Todavía no")
