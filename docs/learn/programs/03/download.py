from pathlib import Path

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc
from conexiones.gen.conexiones.v1 import images_pb2, images_pb2_grpc

image = Path("client/image/elephant.jpg").read_bytes()
with grpc.insecure_channel("localhost:50051") as channel:
    users = user_pb2_grpc.UsuarioServicioStub(channel)
    stored = users.ProcessImage(user_pb2.GetUserRequest(image=image), timeout=60).image_info

    images = images_pb2_grpc.ImageServiceStub(channel)
    received = b""
    for frame in images.DownloadImage(images_pb2.DownloadImageRequest(id=stored.id), timeout=60):
        received += frame.data
    print(len(received), received == image)
