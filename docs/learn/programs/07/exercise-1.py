import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
from proxy import Proxy

from conexiones.gen.conexiones.v1 import images_pb2, images_pb2_grpc, uploads_pb2, uploads_pb2_grpc

image = Path("client/image/elephant.jpg").read_bytes()
proxy = Proxy()


def watch(images: images_pb2_grpc.ImageServiceStub, token: str) -> Iterator[str]:
    request = images_pb2.WatchImagesRequest(user="Fermín", resume_token=token)
    for event in images.WatchImages(request, timeout=20):
        if event.HasField("stored"):
            yield event.stored.name


seen = []
with grpc.insecure_channel("localhost:50051") as direct, grpc.insecure_channel(proxy.address) as channel:
    uploads = uploads_pb2_grpc.UploadServiceStub(direct)
    images = images_pb2_grpc.ImageServiceStub(channel)
    now = next(images.WatchImages(images_pb2.WatchImagesRequest(user="Fermín"), timeout=20))
    events = watch(images, now.resume_token)
    try:
        for name in ("one.jpg", "two.jpg", "three.jpg"):
            request = uploads_pb2.UploadImageRequest(image=image, user="Fermín", name=name)
            uploads.UploadImage(request, timeout=10)
            seen.append(next(events))
            proxy.cut()
    except grpc.RpcError as error:
        print(error.code().name)

print(*seen)
print("cuts:", proxy.cuts)
if seen != ["one.jpg", "two.jpg", "three.jpg"] or proxy.cuts != 3:
    sys.exit("Not yet · Todavía no")
