from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc


class Greeting(user_pb2_grpc.UsuarioServicioServicer):
    def GetUser(self, request, context):
        [name] = context.auth_context()["x509_common_name"]
        return user_pb2.GetUserReply(message=f"Hello, {name.decode()}")


ca, server_cert, server_key, client_cert, client_key = (
    Path("build/certs", name).read_bytes()
    for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
)
server = grpc.server(ThreadPoolExecutor())
user_pb2_grpc.add_UsuarioServicioServicer_to_server(Greeting(), server)
required = grpc.ssl_server_credentials([(server_key, server_cert)], ca, require_client_auth=True)
port = server.add_secure_port("localhost:0", required)
server.start()

for credentials in (
    grpc.ssl_channel_credentials(ca, client_key, client_cert),
    grpc.ssl_channel_credentials(ca),
):
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        stub = user_pb2_grpc.UsuarioServicioStub(channel)
        try:
            print(stub.GetUser(user_pb2.GetUserRequest(name="Hugo"), timeout=10).message)
        except grpc.RpcError as error:
            print(error.code().name)
server.stop(None).wait()
