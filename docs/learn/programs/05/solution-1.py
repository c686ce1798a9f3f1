import sys

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from conexiones.gen import user_pb2, user_pb2_grpc


def reason(error: grpc.RpcError) -> str:
    trailers = dict(error.trailing_metadata())
    info = ErrorInfo()
    for detail in Status.FromString(trailers["grpc-status-details-bin"]).details:
        detail.Unpack(info)
    return info.reason


found = []
with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    for name in ("", "x" * 257):
        try:
            stub.GetUser(user_pb2.GetUserRequest(name=name), timeout=10)
        except grpc.RpcError as error:
            found.append(reason(error))

print(*found, sep="\n")
if found != ["EMPTY_NAME", "NAME_TOO_LONG"]:
    sys.exit("Not yet · Todavía no")
