import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

with grpc.insecure_channel("localhost:50051") as channel:
    stub = health_pb2_grpc.HealthStub(channel)
    reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    print(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))
