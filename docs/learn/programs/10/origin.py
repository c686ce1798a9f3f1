import json
from http.client import HTTPConnection

body = json.dumps({"name": "Nora", "pow": 12})
server = HTTPConnection("localhost:50051", timeout=10)
headers = {"content-type": "application/json", "origin": "https://shop.example"}
server.request("POST", "/user.UsuarioServicio/GetUser", body, headers)
response = server.getresponse()
error = json.load(response)
server.close()

print(response.status, error["message"])
