import hashlib
import uuid
from pathlib import Path

import grpc

from conexiones.gen.conexiones.v1 import uploads_pb2, uploads_pb2_grpc

image = Path("client/image/elephant.jpg").read_bytes()

with grpc.insecure_channel("localhost:50051") as channel:
    stub = uploads_pb2_grpc.UploadServiceStub(channel)
    request = uploads_pb2.CreateUploadRequest(request_id=str(uuid.uuid4()), name="elephant.jpg")
    upload = stub.CreateUpload(request, timeout=10).upload

    offset = 0
    while offset < len(image):
        piece = image[offset : offset + 65_536]
        chunk = uploads_pb2.WriteChunkRequest(upload_id=upload.id, offset=offset, data=piece)
        offset = stub.WriteChunk(chunk, timeout=10).committed_size
        print(offset)

    sha256 = hashlib.sha256(image).digest()
    finish = uploads_pb2.FinishUploadRequest(id=upload.id, size_bytes=len(image), sha256=sha256)
    upload = stub.FinishUpload(finish, timeout=10).upload
    print(uploads_pb2.Upload.State.Name(upload.state), upload.image.width, upload.image.height)
