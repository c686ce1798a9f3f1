from concurrent.futures import ThreadPoolExecutor

import grpc
from square import square

from conexiones.gen import user_pb2

reply = user_pb2.GetUserReply(user=user_pb2.User(pow_squared=144))


class Recorder(grpc.GenericRpcHandler):
    def service(self, call):
        print(call.method)
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, request, context):
        print(request.hex(" "))
        print("ends within a minute:", "yes" if context.time_remaining() < 60 else "no")
        return reply.SerializeToString()


server = grpc.server(ThreadPoolExecutor(), [Recorder()])
port = server.add_insecure_port("localhost:0")
server.start()
assert square(f"localhost:{port}", "Nora", 12) == 144
server.stop(None).wait()
