"""The same calls as in usuario.py, one after the other, made directly with the stub."""

from pathlib import Path
from queue import SimpleQueue

import conexion
import grpc

from conexiones.gen import user_pb2, user_pb2_grpc

options = conexion.arguments("Usa los cinco métodos de UsuarioServicio, sin adornos.")
with conexion.connect(options) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    image = options.image.read_bytes()
    text = Path(__file__).read_bytes()

    print("1. Texto (GetUser)")
    reply = stub.GetUser(user_pb2.GetUserRequest(name="Ada", pow=12), timeout=options.timeout)
    print(reply.message)
    try:
        stub.GetUser(user_pb2.GetUserRequest(name=""), timeout=options.timeout)
    except grpc.RpcError as error:
        print("Error provocado:", conexion.fault_of(error))

    print("2. Imagen completa (ProcessImage)")
    reply = stub.ProcessImage(user_pb2.GetUserRequest(name="Ada", image=image), timeout=options.timeout)
    print(reply.message)

    print("3. Imagen por fragmentos (GetStreamImage)")
    size = 64 * 1024
    fragments = (user_pb2.GetImage(image=image[i : i + size]) for i in range(0, len(image), size))
    reply = stub.GetStreamImage(fragments, timeout=options.timeout)
    print(reply.message)

    print("4. Flujo bidireccional: una imagen y un texto (ImageStreamReply)")
    requests = SimpleQueue()
    replies = stub.ImageStreamReply(iter(requests.get, None), timeout=options.timeout)
    requests.put(user_pb2.GetImage(image=image))
    print(next(replies).message)
    requests.put(user_pb2.GetImage(image=text))
    reply = next(replies)
    print(reply.message)
    print("Error provocado:", conexion.fault_of(reply.error))
    requests.put(None)
    for _ in replies:  # the status of a stream comes at its end, so read to the end
        pass

    print("5. Flujo bidireccional: dos usuarios, el último con un pow excesivo (GetUserBidiStream)")
    requests = SimpleQueue()
    replies = stub.GetUserBidiStream(iter(requests.get, None), timeout=options.timeout)
    requests.put(user_pb2.GetUserRequest(name="Ada", pow=12, image=image))
    reply = next(replies)
    print(f"{reply.name}: pow al cuadrado {reply.pow}, vista previa de {len(reply.image)} bytes")
    requests.put(user_pb2.GetUserRequest(name="Eva", pow=50_000))
    reply = next(replies)
    print(f"{reply.name}: pow al cuadrado {reply.pow}, vista previa de {len(reply.image)} bytes")
    print("Error provocado:", conexion.fault_of(reply.errors[0]))
    requests.put(None)
    for _ in replies:
        pass
