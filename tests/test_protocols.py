"""The same calls through every protocol get the same answers and the same errors."""

from collections.abc import Callable
from typing import Any

from conexiones.errors import ConexionesError
from conexiones.services.details import details
from conexiones.testing import Server
from tests.calls import SETTINGS, bad, good
from tests.clients import CLIENTS, Outcome, readable
from tests.wires import faults

Start = Callable[..., Server]


def refusal(error: ConexionesError) -> Outcome:
    """The error as a client must see it."""
    return Outcome(code=error.code, message=error.message, details=readable(details(error)))


def includes(found: Any, expected: Any) -> bool:
    """Whether all that is expected was found; more may be."""
    if isinstance(expected, dict):
        return all(includes(found.get(name), value) for name, value in expected.items())
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(includes, found, expected))
    return bool(found == expected)


def test_good_calls(start: Start) -> None:
    server = start(**SETTINGS)
    calls = good()
    answers = {name: client(server.address, calls) for name, client in CLIENTS.items()}
    for call, outcome in zip(calls, answers["grpcio"], strict=True):
        assert outcome.code == 0, call
        assert includes(outcome.replies, call.replies), call
    differences = [
        (name, call.name, outcome)
        for name, outcomes in answers.items()
        for call, outcome, first in zip(calls, outcomes, answers["grpcio"], strict=True)
        if outcome != first
    ]
    assert not differences


def test_bad_calls(start: Start) -> None:
    server = start(**SETTINGS)
    calls = bad()
    differences = [
        (name, call.name, outcome, expected)
        for name, client in CLIENTS.items()
        for call, outcome in zip(calls, client(server.address, calls), strict=True)
        if outcome
        != (expected := refusal(call.json_error if call.json_error and "JSON" in name else call.error))
    ]
    for d in differences:
        print(
            *d[:2],
            d[2].code,
            d[2].message,
            d[2].reason,
            d[3].reason,
            d[2].details == d[3].details,
            d[2].replies,
        )
    assert not len(differences)


def test_requests_that_break_the_protocol(start: Start) -> None:
    server = start(**SETTINGS)
    differences = []
    for fault in faults():
        try:
            response, outcome = fault.send(server.address)
        except Exception as e:
            print(fault, repr(e)[-300:])
            continue
        if outcome != refusal(fault.error):
            print(fault, outcome.code, outcome.reason, outcome.message)
        elif response.status != (200 if fault.wire.framed else fault.http): print(fault, response.status, fault.http)
