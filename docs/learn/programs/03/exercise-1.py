import hashlib
import sys
from collections.abc import Iterator

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

sizes = []


def fragments(path: str) -> Iterator[user_pb2.GetImage]:
    with open(path, "rb") as file:
        while piece := file.read(65_536):
            sizes.append(len(piece))
            yield user_pb2.GetImage(image=piece)


with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    reply = stub.GetStreamImage(fragments("client/image/elephant.jpg"), timeout=60)

print(len(sizes), max(sizes))
with open("client/image/elephant.jpg", "rb") as file:
    whole = hashlib.file_digest(file, "sha256").digest()
if len(sizes) != 318 or reply.image_info.sha256 != whole:
    sys.exit("Not yet · Todavía no")
