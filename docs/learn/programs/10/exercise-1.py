import json
import sys
from http.client import HTTPConnection

body = json.dumps({"name": "Iker", "pow": 100_000})
server = HTTPConnection("localhost:50051", timeout=10)
server.request("POST", "/user.UsuarioServicio/GetUser", body, {"content-type": "application/json"})
reply = json.load(server.getresponse())
server.close()
square = reply["user"]["pow"]

print(square + 1)
if square + 1 != 10_000_000_001:
    sys.exit("Not yet · Todavía no")
