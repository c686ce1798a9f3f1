import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage
from google.rpc.status_pb2 import Status

from conexiones.gen import user_pb2, user_pb2_grpc

with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    try:
        stub.GetUser(user_pb2.GetUserRequest(name="ñ" * 300), timeout=10)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
        trailers = dict(error.trailing_metadata())

status = Status.FromString(trailers["grpc-status-details-bin"])
info, text, request = ErrorInfo(), LocalizedMessage(), BadRequest()
for detail in status.details:
    for kind in (info, text, request):
        detail.Unpack(kind)
print(info.reason, info.metadata["limit"], info.metadata["actual"])
print(text.locale, text.message)
print(request.field_violations[0].field)
