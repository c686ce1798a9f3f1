from conexiones.gen import user_pb2

message = user_pb2.GetImage(image=bytes(65_536)).SerializeToString()
print(len(message), message[:4].hex(" "))
