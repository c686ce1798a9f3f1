import sys
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration

from conexiones.gen import user_pb2, user_pb2_grpc
from conexiones.gen.conexiones.v1 import access_pb2, access_pb2_grpc, images_pb2, images_pb2_grpc

tls = grpc.ssl_channel_credentials(Path("build/certs/ca.pem").read_bytes())


def connected(token: str) -> grpc.Channel:
    credentials = grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(token))
    return grpc.secure_channel("localhost:50443", credentials)


request = access_pb2.CreateTokenRequest(
    name="gallery", scopes=[access_pb2.SCOPE_READ], ttl=Duration(seconds=3600)
)

with connected(Path("build/secure/admin-token").read_text().strip()) as channel:
    admin = access_pb2_grpc.AdminServiceStub(channel)
    created = admin.CreateToken(request, timeout=10)

outcomes = []
with connected(created.secret) as channel:
    for call, message in (
        (images_pb2_grpc.ImageServiceStub(channel).ListImages, images_pb2.ListImagesRequest()),
        (user_pb2_grpc.UsuarioServicioStub(channel).GetUser, user_pb2.GetUserRequest(name="Irene")),
    ):
        try:
            call(message, timeout=10)
            outcomes.append("OK")
        except grpc.RpcError as error:
            outcomes.append(error.code().name)

token = created.token
seconds = token.expire_time.seconds - token.create_time.seconds if token.HasField("expire_time") else None
scopes = [access_pb2.Scope.Name(scope) for scope in token.scopes]
print(*outcomes, *scopes, "never ends" if seconds is None else f"ends after {seconds // 60} minutes")
if outcomes != ["OK", "PERMISSION_DENIED"] or scopes != ["SCOPE_READ"] or seconds != 3600:
    sys.exit("Not yet · Todavía no")
