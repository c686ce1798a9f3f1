import random
import sys
import time

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

calls = []


def call_with_retries(stub: user_pb2_grpc.UsuarioServicioStub, attempts: int) -> str:
    calls.append(1)
    return stub.GetUser(user_pb2.GetUserRequest(name="Zoe"), timeout=10).message


with grpc.insecure_channel("localhost:1") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    try:
        call_with_retries(stub, attempts=3)
    except grpc.RpcError as error:
        print(error.code().name, len(calls))

if len(calls) != 3:
    sys.exit("Not yet · Todavía no")
