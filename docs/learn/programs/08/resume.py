import hashlib
import sys
import uuid
from pathlib import Path

import grpc

from conexiones.gen.conexiones.v1 import uploads_pb2, uploads_pb2_grpc

sys.path.append("docs/learn/programs/07")
from proxy import Proxy

image = Path("client/image/elephant.jpg").read_bytes()
proxy = Proxy(cut_after=180_000)

with grpc.insecure_channel(proxy.address) as channel:
    stub = uploads_pb2_grpc.UploadServiceStub(channel)
    request = uploads_pb2.CreateUploadRequest(request_id=str(uuid.uuid4()), name="elephant.jpg")
    upload = stub.CreateUpload(request, timeout=10).upload

    offset = None  # the server knows
    while offset != len(image):
        try:
            if offset is None:
                request = uploads_pb2.GetUploadRequest(id=upload.id)
                offset = stub.GetUpload(request, timeout=10).upload.committed_size
                print("from", offset)
            piece = image[offset : offset + 65_536]
            chunk = uploads_pb2.WriteChunkRequest(upload_id=upload.id, offset=offset, data=piece)
            offset = stub.WriteChunk(chunk, timeout=10).committed_size
            print(offset)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            offset = None

    sha256 = hashlib.sha256(image).digest()
    finish = uploads_pb2.FinishUploadRequest(id=upload.id, size_bytes=len(image), sha256=sha256)
    upload = stub.FinishUpload(finish, timeout=10).upload
    print(uploads_pb2.Upload.State.Name(upload.state), upload.image.size_bytes)
