"""The product's server, but it answers every call with who has called."""

import json
import sys

from conexiones.app import build
from conexiones.settings import Settings
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.single_loop import SingleLoop
from tests.transport.application import supervise


async def tell(call: Call, rest: Endpoint) -> None:
    told = {"client": call.caller.client, "connection": call.caller.connection, "peer": call.peer}
    await call.respond(200, [(b"content-type", b"application/json")], json.dumps(told).encode())


app = SingleLoop(build(Settings.load(), steps=[tell]))

if __name__ == "__main__":
    sys.exit(supervise("tests.transport.process.peers:app"))
