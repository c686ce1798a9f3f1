"""What an administrator does, over plain HTTP, so that it can be done in the callbacks of a client, too."""

import json
from base64 import b64encode
from typing import Any
from urllib.request import Request, urlopen

from conexiones.testing import Server


def call(server: Server, method: str, **body: Any) -> dict[str, Any]:
    request = Request(
        f"http://{server.address}/conexiones.v1.AdminService/{method}",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {server.token}"},
    )
    with urlopen(request) as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def create(server: Server, *scopes: str, name: str = "somebody", **options: Any) -> tuple[str, str]:
    """A new token: its id and its secret."""
    made = call(
        server, "CreateToken", name=name, scopes=[f"SCOPE_{scope.upper()}" for scope in scopes], **options
    )
    return made["token"]["id"], made["secret"]


def store(server: Server, image: bytes) -> str:
    """Stores an image, and gives its id."""
    request = Request(
        f"http://{server.address}/user.UsuarioServicio/ProcessImage",
        data=json.dumps({"image": b64encode(image).decode()}).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {server.token}"},
    )
    with urlopen(request) as reply:
        return str(json.load(reply)["imageInfo"]["id"])


def revoke(server: Server, id: str) -> None:
    call(server, "RevokeToken", id=id)
