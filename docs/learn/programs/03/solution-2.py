import json
import sys

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

users = [
    user_pb2.GetUserRequest(name="Tomás", pow=3),
    user_pb2.GetUserRequest(name="", pow=4),
    user_pb2.GetUserRequest(name="Uxía", pow=50_000),
]
served, refused = [], []
with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    for reply in stub.GetUserBidiStream(iter(users), timeout=10):
        if reply.errors:
            refused.append(reply.errors[0].reason)
        else:
            served.append(reply.pow)

print(json.dumps([served, refused], separators=(",", ":")))
if served != [9] or refused != ["EMPTY_NAME", "POW_OVERFLOW"]:
    sys.exit("Not yet · Todavía no")
