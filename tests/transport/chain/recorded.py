"""The product, with a step around its chain that writes down every call: one line of JSON when the call
begins, and one when it has ended.

`python -m tests.transport.chain.recorded` supervises it, with the settings in the environment; Envoy loads
`app` from here. RECORD names the file. With DRAINING set, the server drains from the first call on.
"""

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import conexiones.app
from conexiones import routes
from conexiones.settings import Settings
from conexiones.transport.chain.call import Call, Endpoint, Route
from conexiones.transport.rpc.method import Handled, Handler, MessageLimit, service

RECORD, DRAINING = "RECORD_CALLS_IN", "DRAIN_FROM_THE_FIRST_CALL"

CASE = b"x-case"
"""The header that says which case of the test a call belongs to. Calls without it are not written down."""

handled: set[int] = set()
"""The ids of the calls that handlers were given; a call lives until its line is written."""


def watched(
    full_name: str, handlers: Mapping[str, Handled], limit: MessageLimit, *, prompt: bool = False
) -> dict[str, Route]:
    """`service`, whose handlers note that they were given a call."""

    def noted(handler: Handler) -> Handler:
        def note(request: Any, call: Any) -> Any:
            if isinstance(call, Call):
                handled.add(id(call))
            return handler(request, call)

        return note

    found = {
        name: dataclasses.replace(handler, handler=noted(handler.handler))
        for name, handler in handlers.items()
    }
    return service(full_name, found, limit, prompt=prompt)


async def record(call: Call, rest: Endpoint) -> None:
    """A step of the chain."""
    if os.environ.pop(DRAINING, ""):
        app.drain()
    write(call, "begun")
    try:
        await rest(call)
    except asyncio.CancelledError:
        write(call, "ended", end="cancelled")
        raise
    except BaseException as error:
        write(call, "ended", end=f"raised {type(error).__name__}")
        raise
    write(call, "ended", end=call.error.reason if call.error else "")


def write(call: Call, event: str, **more: str) -> None:
    case = call.header(CASE).decode()
    line = {
        "case": case,
        "event": event,
        "service": call.service,
        "method": call.method,
        "protocol": call.protocol,
        "path": call.path,
        "exempt": sorted(call.route.exempt),
        "handled": id(call) in handled,
        **more,
    }
    if event == "ended":
        handled.discard(id(call))
    if case:
        with Path(os.environ[RECORD]).open("a") as file:
            file.write(json.dumps(line) + "\n")


routes.service = watched  # type: ignore[attr-defined]  # not a name that it exports
app = conexiones.app.build(Settings.load(), steps=[record])

if __name__ == "__main__":
    from tests.transport.application import supervise

    sys.exit(supervise("tests.transport.chain.recorded:app"))
