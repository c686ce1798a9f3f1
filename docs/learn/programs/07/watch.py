from pathlib import Path

import grpc
from proxy import Proxy

from conexiones.gen.conexiones.v1 import images_pb2, images_pb2_grpc, uploads_pb2, uploads_pb2_grpc

config = Path("docs/learn/programs/07/retry.json").read_text()
image = Path("client/image/elephant.jpg").read_bytes()
proxy = Proxy()

with (
    grpc.insecure_channel("localhost:50051") as direct,
    grpc.insecure_channel(proxy.address, [("grpc.service_config", config)]) as channel,
):
    uploads = uploads_pb2_grpc.UploadServiceStub(direct)
    images = images_pb2_grpc.ImageServiceStub(channel)

    def store(name: str) -> None:
        uploads.UploadImage(uploads_pb2.UploadImageRequest(image=image, user="Bruna", name=name), timeout=10)

    try:
        for event in images.WatchImages(images_pb2.WatchImagesRequest(user="Bruna"), timeout=60):
            token = event.resume_token
            if event.HasField("heartbeat"):
                store("one.jpg")
            elif event.HasField("stored"):
                print(event.stored.name)
                proxy.cut()
    except grpc.RpcError as error:
        print(error.code().name)

    store("two.jpg")
    again = images_pb2.WatchImagesRequest(user="Bruna", resume_token=token)
    for event in images.WatchImages(again, timeout=60):
        if event.HasField("stored"):
            print(event.stored.name)
            break
