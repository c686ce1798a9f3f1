import re
from urllib.request import urlopen

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc
from conexiones.testing import serve

with serve(admin_address="127.0.0.1:0") as server:
    with grpc.insecure_channel(server.address) as channel:
        stub = user_pb2_grpc.UsuarioServicioStub(channel)
        for name in ("Nora", "Iker", ""):
            try:
                stub.GetUser(user_pb2.GetUserRequest(name=name), timeout=10)
            except grpc.RpcError as error:
                print(error.code().name)
    with urlopen(f"http://{server.admin_address}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()

shown = r'rpc_server_call_duration_seconds_count|conexiones_refusals_total{reason="EMPTY_NAME"}'
for line in lines:
    if re.match(shown, line):
        print(line)
