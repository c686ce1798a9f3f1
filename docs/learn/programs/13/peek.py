import socket
from threading import Thread

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc


def first_bytes(connect):
    found = []
    with socket.create_server(("localhost", 0)) as listener:

        def read():
            with listener.accept()[0] as connection:
                found.append(connection.recv(4096))

        reader = Thread(target=read)
        reader.start()
        with connect(f"localhost:{listener.getsockname()[1]}") as channel:
            stub = user_pb2_grpc.UsuarioServicioStub(channel)
            call = stub.GetUser.future(user_pb2.GetUserRequest(name="Nora"), timeout=10)
            reader.join()
            call.cancel()
    return found[0]


print("without TLS:", first_bytes(grpc.insecure_channel)[:14].decode())
hello = first_bytes(lambda address: grpc.secure_channel(address, grpc.ssl_channel_credentials()))
print("with TLS:", hello[:3].hex(" "))
print("localhost is readable:", "yes" if b"localhost" in hello else "no")
