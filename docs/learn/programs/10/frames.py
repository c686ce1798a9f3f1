import struct
from http.client import HTTPConnection

from conexiones.gen import user_pb2

message = user_pb2.GetUserRequest(name="Nora", pow=12).SerializeToString()
body = struct.pack(">BI", 0, len(message)) + message
server = HTTPConnection("localhost:50051", timeout=10)
headers = {"content-type": "application/grpc-web+proto"}
server.request("POST", "/user.UsuarioServicio/GetUser", body, headers)
body = server.getresponse().read()
server.close()

while body:
    flags, length = struct.unpack_from(">BI", body)
    content, body = body[5 : 5 + length], body[5 + length :]
    if flags & 0x80:
        print("trailers:", content.decode().strip())
    else:
        print("message:", user_pb2.GetUserReply.FromString(content).message)
