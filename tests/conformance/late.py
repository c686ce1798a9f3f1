"""An HTTP endpoint for h2spec, which waits before it answers.

Some cases send a second frame on a stream that must still be open. Other endpoints answer at once, so that on
a busy machine the stream may be closed before that frame comes.
"""

import asyncio

from conexiones.transport.chain.call import Call
from conexiones.transport.http.images import PREFIX

PATH = f"{PREFIX}late"

LATE_SECONDS = 0.2
"""Time between request and answer. h2spec waits for at most two seconds."""


async def answer_late(call: Call) -> None:
    await asyncio.sleep(LATE_SECONDS)
    await call.respond(200, [(b"content-type", b"text/plain")], b"late")
