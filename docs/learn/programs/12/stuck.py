import socket

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

stuck = socket.create_server(("localhost", 0))
port = stuck.getsockname()[1]

socket.create_connection(("localhost", port)).close()
print("port: open")
with grpc.insecure_channel(f"localhost:{port}") as channel:
    try:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
    except grpc.RpcError as error:
        print("health:", error.code().name)
