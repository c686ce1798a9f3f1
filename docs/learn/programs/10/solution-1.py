import json
import sys
from http.client import HTTPConnection

body = json.dumps({"name": "Iker", "pow": 100_000})
server = HTTPConnection("localhost:50051", timeout=10)
server.request("POST", "/user.UsuarioServicio/GetUser", body, {"content-type": "application/json"})
reply = json.load(server.getresponse())
server.close()
answer = int(reply["user"]["powSquared"]) + 1

print(answer)
if answer != 10_000_000_001:
    sys.exit("Not yet · Todavía no")
