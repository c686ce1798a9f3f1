from pathlib import Path

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

photograph = Path("client/image/elephant.jpg").read_bytes()
letter = "Querida Ada".encode()

with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    images = (user_pb2.GetImage(image=image) for image in (photograph, letter, photograph))
    for reply in stub.ImageStreamReply(images, timeout=60):
        print(reply.error.reason or reply.image_info.format)
