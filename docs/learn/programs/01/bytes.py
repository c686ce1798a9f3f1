from conexiones.gen import user_pb2

request = user_pb2.GetUserRequest(name="Nora", pow=12)
print(request.SerializeToString().hex(" "))
