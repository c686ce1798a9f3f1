import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

with grpc.insecure_channel("localhost:50051") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    for image in (b"%PDF-1.7 ", b"Querida Ada", b"\xff\xd8\xff\xe0"):
        try:
            stub.ProcessImage(user_pb2.GetUserRequest(image=image), timeout=10)
        except grpc.RpcError as error:
            print(error.code().name, error.details())
