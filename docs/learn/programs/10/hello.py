import json
from http.client import HTTPConnection

body = json.dumps({"name": "Nora", "pow": 12})
server = HTTPConnection("localhost:50051", timeout=10)
server.request("POST", "/user.UsuarioServicio/GetUser", body, {"content-type": "application/json"})
reply = json.load(server.getresponse())
server.close()

print(reply["message"])
