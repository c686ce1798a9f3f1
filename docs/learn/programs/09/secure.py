from pathlib import Path

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

ca = Path("build/certs/ca.pem").read_bytes()

with grpc.secure_channel("localhost:50443", grpc.ssl_channel_credentials(ca)) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    try:
        stub.GetUser(user_pb2.GetUserRequest(name="Hugo", pow=9), timeout=10)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
