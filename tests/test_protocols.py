"""The same calls through every protocol get the same answers and the same errors."""

from collections.abc import Callable

from conexiones.services.details import details
from conexiones.testing import Server
from tests.calls import SETTINGS, Good, bad, good
from tests.clients import CLIENTS, Outcome, readable

Start = Callable[..., Server]


def test_good_calls(start: Start) -> None:
    server = start(**SETTINGS)
    calls = good()
    for name, client in CLIENTS.items():
        outcomes = client(server.address, calls)
        if name == "grpcio":
            first = outcomes
            for call, outcome in zip(calls, outcomes, strict=True):
                print(call, outcome)
        for call, outcome, other in zip(calls, outcomes, first, strict=True):
            assert outcome == other, f"{call} by {name}"


def test_bad_calls(start: Start) -> None:
    server = start(**SETTINGS)
    calls = bad()
    failed = []
    for name, client in CLIENTS.items():
        for call, outcome in zip(calls, client(server.address, calls), strict=True):
            error = call.json_error if call.json_error and name == "Connect JSON" else call.error
            expected = Outcome(code=error.code, message=error.message, details=readable(details(error)))
            if outcome != expected:
                print(call, "by", name, outcome, expected, sep="\n   ")
