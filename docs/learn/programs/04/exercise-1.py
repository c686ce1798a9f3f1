import sys
from collections.abc import Iterator
from pathlib import Path

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

image = Path("client/image/elephant.jpg").read_bytes()
shown = []
steps = []


def fragments() -> Iterator[user_pb2.GetImage]:
    for start in range(0, len(image), 4096):
        yield user_pb2.GetImage(image=image[start : start + 4096])


def watched(fragments: Iterator[user_pb2.GetImage]) -> Iterator[user_pb2.GetImage]:
    for fragment in fragments:
        yield fragment
        steps.append(len(shown))


with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    stub.GetStreamImage(watched(fragments()), timeout=60)

print(*shown)
meanwhile = {0, 1, 2, 3} <= set(steps)
print("meanwhile:", "yes" if meanwhile else "no")
if shown != [25, 50, 75, 100] or not meanwhile:
    sys.exit("Not yet · Todavía no")
