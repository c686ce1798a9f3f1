"""A client as a reader of the tutorial would write it, on the code that the tutorial's command generates.

contract_client.py FOLDER ADDRESS IMAGE, where FOLDER has user_pb2.py: makes all five calls, and prints what
they return as JSON. A program of its own, for in the tests' process `user.proto` is ours.
"""

import base64
import json
import sys
from pathlib import Path

import grpc

sys.path.insert(0, sys.argv[1])
import user_pb2  # type: ignore[import-not-found]  # generated for each run
import user_pb2_grpc  # type: ignore[import-not-found]

image = Path(sys.argv[3]).read_bytes()
fragments = [user_pb2.GetImage(image=image[at : at + 4096]) for at in range(0, len(image), 4096)]
users = [
    user_pb2.GetUserRequest(name="Zoé", pow=-12, image=image),
    user_pb2.GetUserRequest(name="Zoé"),
    user_pb2.GetUserRequest(name="", pow=1),
    user_pb2.GetUserRequest(name="Luis", pow=2**31 - 1),
]

with grpc.insecure_channel(sys.argv[2]) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    found = {
        "GetUser": stub.GetUser(user_pb2.GetUserRequest(name="Zoé", pow=3), timeout=60).message,
        "ProcessImage": stub.ProcessImage(user_pb2.GetUserRequest(image=image), timeout=60).message,
        "GetStreamImage": stub.GetStreamImage(iter(fragments), timeout=60).message,
        "ImageStreamReply": [
            reply.message
            for reply in stub.ImageStreamReply(
                iter([user_pb2.GetImage(image=image), user_pb2.GetImage(image=b"nada")]), timeout=60
            )
        ],
        "GetUserBidiStream": [
            [reply.name, reply.pow, base64.b64encode(reply.image).decode()]
            for reply in stub.GetUserBidiStream(iter(users), timeout=60)
        ],
    }
    try:
        stub.GetUser(user_pb2.GetUserRequest(), timeout=60)
    except grpc.RpcError as error:
        found["error"] = [error.code().name, error.details()]
print(json.dumps(found))
