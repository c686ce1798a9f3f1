"""The smallest client: registers a user with an image by GetUser, and prints the reply."""

import conexion

from conexiones.gen import user_pb2, user_pb2_grpc

options = conexion.arguments("Registra un usuario con GetUser.")
with conexion.connect(options) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    request = user_pb2.GetUserRequest(name="Ada", pow=12, image=options.image.read_bytes())
    reply = stub.GetUser(request, timeout=options.timeout)
    print(reply.message)
