"""Other addresses of this machine: calls from them, as other clients make them, and ports at several."""

import json
import socket
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import Any

from tests.support.waiting import DEADLINE


def ask(address: str, method: str, request: dict[str, Any], *, source: str) -> dict[str, Any]:
    """The reply of a unary RPC (service/method) in Connect's JSON, or its error as JSON, for which the caller
    can tell by its `code`. `source` is the caller's address, one of 127.0.0.0/8."""
    host, _, port = address.rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=DEADLINE, source_address=(source, 0))
    with closing(connection):
        connection.request("POST", f"/{method}", json.dumps(request), {"content-type": "application/json"})
        reply: dict[str, Any] = json.loads(connection.getresponse().read())
        return reply


def free_port(*hosts: str) -> int:
    """A port that nobody has at any of these addresses now."""
    while True:
        with ExitStack() as stack:
            port = 0
            try:
                for host in hosts:
                    bound = stack.enter_context(socket.socket())
                    bound.bind((host, port))
                    port = bound.getsockname()[1]
            except OSError:  # it is taken at this one
                continue
            return port
