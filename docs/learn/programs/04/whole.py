import resource
from pathlib import Path

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    request = user_pb2.GetUserRequest(image=Path("build/large.bmp").read_bytes())
    try:
        print(stub.ProcessImage(request, timeout=60).message)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MiB")
