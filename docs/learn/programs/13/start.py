from pathlib import Path

import grpc

from conexiones.gen.conexiones.v1 import uploads_pb2, uploads_pb2_grpc
from conexiones.testing import serve

folder = Path("build/production")
settings = {
    "auth": "required",
    "tls_cert": folder / "certs" / "server.pem",
    "tls_key": folder / "certs" / "server.key",
}
with serve(folder / "data", **settings) as server:
    ca = folder / "certs" / "ca.pem"
    with server.client(ca=ca) as admin:
        token = admin.create_token("shop", ["write"]).secret

    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(ca.read_bytes()), grpc.access_token_call_credentials(token)
    )
    with grpc.secure_channel(server.address, credentials) as channel:
        stub = uploads_pb2_grpc.UploadServiceStub(channel)
        image = Path("client/image/elephant.jpg").read_bytes()
        request = uploads_pb2.UploadImageRequest(request_id="elephant", image=image)
        print(stub.UploadImage(request, timeout=10).image.size_bytes, "bytes stored")
