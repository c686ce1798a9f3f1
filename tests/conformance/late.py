"""An HTTP endpoint for h2spec: a stream has to be open still when the next frame of a case comes, however
busy the machine is. All other endpoints answer at once."""

import asyncio

from conexiones.transport.chain.call import Call
from conexiones.transport.http.images import PREFIX

PATH = f"{PREFIX}late"

LATE_SECONDS = 0.2
"""Time between request and answer. Cases that pass wait for two seconds at the most."""


async def answer_late(call: Call) -> None:
    await asyncio.sleep(LATE_SECONDS)
    await call.respond(200, [(b"content-type", b"text/plain")], b"late")
