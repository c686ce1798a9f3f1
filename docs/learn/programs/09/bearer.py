from pathlib import Path

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

ca = Path("build/certs/ca.pem").read_bytes()
token = Path("build/secure/admin-token").read_text().strip()
credentials = grpc.composite_channel_credentials(
    grpc.ssl_channel_credentials(ca), grpc.access_token_call_credentials(token)
)

with grpc.secure_channel("localhost:50443", credentials) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    print(stub.GetUser(user_pb2.GetUserRequest(name="Hugo", pow=9), timeout=10).message)
