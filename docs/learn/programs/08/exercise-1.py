import sys
import uuid

import grpc

from conexiones.gen.conexiones.v1 import uploads_pb2, uploads_pb2_grpc

sent = []


def create(stub: uploads_pb2_grpc.UploadServiceStub, request: uploads_pb2.CreateUploadRequest) -> str:
    sent.append(request)
    return stub.CreateUpload(request, timeout=10).upload.id


def begin(stub: uploads_pb2_grpc.UploadServiceStub) -> str:
    request = uploads_pb2.CreateUploadRequest(request_id=str(uuid.uuid4()), size_bytes=317_645)
    return create(stub, request)


with grpc.insecure_channel("localhost:50051") as channel:
    stub = uploads_pb2_grpc.UploadServiceStub(channel)
    uploads = {begin(stub), begin(stub)}
    for id in uploads:
        stub.CancelUpload(uploads_pb2.CancelUploadRequest(id=id), timeout=10)

print("calls:", len(sent))
print("uploads:", len(uploads))
if len(sent) != 2 or len(uploads) != 1:
    sys.exit("Not yet · Todavía no")
