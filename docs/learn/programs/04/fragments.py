import resource
from collections.abc import Iterator

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc


def fragments(path: str) -> Iterator[user_pb2.GetImage]:
    with open(path, "rb") as file:
        while piece := file.read(65_536):
            yield user_pb2.GetImage(image=piece)


with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    reply = stub.GetStreamImage(fragments("build/large.bmp"), timeout=60)
    print(reply.image_info.format, reply.image_info.size_bytes)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MiB")
