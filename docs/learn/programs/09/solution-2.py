import sys
from pathlib import Path

import grpc

from conexiones.gen.conexiones.v1 import access_pb2, access_pb2_grpc, images_pb2, images_pb2_grpc

tls = grpc.ssl_channel_credentials(Path("build/certs/ca.pem").read_bytes())


def connected(token: str) -> grpc.Channel:
    credentials = grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(token))
    return grpc.secure_channel("localhost:50443", credentials)


outcomes = []


def list_images(images: images_pb2_grpc.ImageServiceStub) -> None:
    try:
        images.ListImages(images_pb2.ListImagesRequest(), timeout=10)
        outcomes.append("OK")
    except grpc.RpcError as error:
        outcomes.append(error.code().name)


with connected(Path("build/secure/admin-token").read_text().strip()) as channel:
    admin = access_pb2_grpc.AdminServiceStub(channel)
    request = access_pb2.CreateTokenRequest(name="visitor", scopes=[access_pb2.SCOPE_READ])
    created = admin.CreateToken(request, timeout=10)
    with connected(created.secret) as visitor:
        images = images_pb2_grpc.ImageServiceStub(visitor)
        list_images(images)
        admin.RevokeToken(access_pb2.RevokeTokenRequest(id=created.token.id), timeout=10)
        list_images(images)
    valid = admin.ListTokens(access_pb2.ListTokensRequest(page_size=1000), timeout=10).tokens

revoked = created.token.id not in [token.id for token in valid]
print(*outcomes)
print("revoked:", "yes" if revoked else "no")
if outcomes != ["OK", "UNAUTHENTICATED"] or not revoked:
    sys.exit("Not yet · Todavía no")
