from concurrent.futures import ThreadPoolExecutor

import grpc

from conexiones.gen import user_pb2, user_pb2_grpc


class Flaky(user_pb2_grpc.UsuarioServicioServicer):
    attempts = 0

    def GetUser(self, request, context):
        self.attempts += 1
        print("attempt", self.attempts)
        if self.attempts < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        return user_pb2.GetUserReply(message="ok")


server = grpc.server(ThreadPoolExecutor())
user_pb2_grpc.add_UsuarioServicioServicer_to_server(Flaky(), server)
port = server.add_insecure_port("localhost:0")
server.start()

config = """{"methodConfig": [{
  "name": [{"service": "user.UsuarioServicio", "method": "GetUser"}],
  "retryPolicy": {
    "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]
  }
}]}"""
with grpc.insecure_channel(f"localhost:{port}", [("grpc.service_config", config)]) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    print(stub.GetUser(user_pb2.GetUserRequest(name="Xana"), timeout=10).message)
server.stop(None).wait()
