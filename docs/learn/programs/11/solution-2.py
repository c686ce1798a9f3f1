import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

careless = []


class Recorder(grpc.GenericRpcHandler):
    def service(self, call):
        def answer(request, context):
            if context.time_remaining() > 60:
                careless.append(call.method)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


server = grpc.server(ThreadPoolExecutor(), [Recorder()])
port = server.add_insecure_port("localhost:0")
server.start()
with grpc.insecure_channel(f"localhost:{port}") as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    stub.GetUser(user_pb2.GetUserRequest(name="Nora"), timeout=10)
    stub.ProcessImage(user_pb2.GetUserRequest(name="Nora"))
    stub.GetUser(user_pb2.GetUserRequest(name="Nora"), timeout=90)
    stub.ProcessImage(user_pb2.GetUserRequest(name="Nora"), timeout=10)
server.stop(None).wait()

print("more than a minute:", *careless)
if careless != ["/user.UsuarioServicio/ProcessImage", "/user.UsuarioServicio/GetUser"]:
    sys.exit("Not yet · Todavía no")
