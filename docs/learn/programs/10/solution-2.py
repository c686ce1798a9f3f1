import struct
import sys
from http.client import HTTPConnection

from conexiones.gen import user_pb2


def status(name):
    message = user_pb2.GetUserRequest(name=name).SerializeToString()
    body = struct.pack(">BI", 0, len(message)) + message
    server = HTTPConnection("localhost:50051", timeout=10)
    headers = {"content-type": "application/grpc-web+proto"}
    server.request("POST", "/user.UsuarioServicio/GetUser", body, headers)
    response = server.getresponse()
    body = response.read()
    server.close()
    trailers = dict(response.headers)
    while body:
        flags, length = struct.unpack_from(">BI", body)
        content, body = body[5 : 5 + length], body[5 + length :]
        if flags & 0x80:
            trailers = dict(line.split(":", 1) for line in content.decode().splitlines())
    return trailers["grpc-status"]


found = [status("Nora"), status("")]
print(*found)
if found != ["0", "3"]:
    sys.exit("Not yet · Todavía no")
