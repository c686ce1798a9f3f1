import sys
from pathlib import Path

import grpc

from conexiones.gen.conexiones.v1 import images_pb2, images_pb2_grpc, uploads_pb2, uploads_pb2_grpc

sys.path.append("docs/learn/programs/07")
from proxy import Proxy

original = Path("client/image/elephant.jpg").read_bytes()
proxy = Proxy(cut_after=100_000)


def download(stub: images_pb2_grpc.ImageServiceStub, image: images_pb2.Image) -> bytes:
    data = b""
    while len(data) < image.size_bytes:
        request = images_pb2.DownloadImageRequest(
            id=image.id, offset=len(data), limit=65_536, if_etag=image.etag
        )
        try:
            for frame in stub.DownloadImage(request, timeout=10):
                data += frame.data
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
    return data


with grpc.insecure_channel("localhost:50051") as direct, grpc.insecure_channel(proxy.address) as channel:
    uploads = uploads_pb2_grpc.UploadServiceStub(direct)
    image = uploads.UploadImage(uploads_pb2.UploadImageRequest(image=original), timeout=10).image
    try:
        received = download(images_pb2_grpc.ImageServiceStub(channel), image)
    except grpc.RpcError as error:
        print(error.code().name)
        received = b""

print(len(received))
print("cut:", "yes" if proxy.cuts else "no")
if received != original or not proxy.cuts:
    sys.exit("Not yet · Todavía no")
