from pathlib import Path

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

ca = Path("build/certs/ca.pem").read_bytes()
stranger = grpc.access_token_call_credentials("cnx_" + 49 * "0")

for channel in (
    grpc.insecure_channel("localhost:50443"),
    grpc.secure_channel("localhost:50443", grpc.ssl_channel_credentials()),
    grpc.secure_channel(
        "localhost:50443",
        grpc.composite_channel_credentials(grpc.ssl_channel_credentials(ca), stranger),
    ),
):
    with channel:
        stub = user_pb2_grpc.UsuarioServicioStub(channel)
        try:
            stub.GetUser(user_pb2.GetUserRequest(name="Hugo"), timeout=10)
        except grpc.RpcError as error:
            print(error.code().name)
