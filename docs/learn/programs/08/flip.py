import hashlib
import struct
import sys

import grpc

from conexiones.gen.conexiones.v1 import images_pb2, uploads_pb2, uploads_pb2_grpc

sys.path.append("docs/learn/programs/07")
from proxy import Proxy


class Flipping(Proxy):
    """Changes one bit: the lowest of byte 5,000 of those that go to the server."""

    seen = 0

    def passing(self, data: bytes, to_server: bool) -> bytes:
        if not to_server:
            return data
        place = 5_000 - self.seen
        self.seen += len(data)
        if 0 <= place < len(data):
            data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        return data


# 60 × 60 black pixels, as in lesson 4
head = struct.pack("<2sIHHI", b"BM", 54 + 10_800, 0, 0, 54)
image = head + struct.pack("<IiiHHIIiiII", 40, 60, 60, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(10_800)
sha256 = hashlib.sha256(image).digest()


def outcome(stored: images_pb2.Image) -> str:
    return "stored as sent" if stored.sha256 == sha256 else "stored, changed"


for request in (
    uploads_pb2.UploadImageRequest(image=image),
    uploads_pb2.UploadImageRequest(image=image, sha256=sha256),
):
    proxy = Flipping()
    with grpc.insecure_channel(proxy.address) as channel:
        stub = uploads_pb2_grpc.UploadServiceStub(channel)
        try:
            print(outcome(stub.UploadImage(request, timeout=10).image))
        except grpc.RpcError as error:
            print(error.code().name)
            print(outcome(stub.UploadImage(request, timeout=10).image))
