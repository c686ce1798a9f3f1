"""Asking the address for those who run a server, as probes and Prometheus do."""

import socket
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from conexiones.testing import Server
from tests.support.waiting import DEADLINE


class Answer:
    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()


def ask(address: str, path: str, *, verb: str = "GET", headers: dict[str, str] | None = None) -> Answer:
    """`address` is HOST:PORT or unix:PATH."""
    connection = HTTPConnection("localhost", timeout=DEADLINE)
    if address.startswith("unix:"):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        connection = HTTPConnection(host.strip("[]"), int(port), timeout=DEADLINE)
    with closing(connection):
        connection.request(verb, path, headers=headers or {})
        return Answer(connection.getresponse())


def scraped(server: Server) -> dict[str, Metric]:
    """The figures by the names of their families."""
    answer = ask(server.admin_address, "/metrics")
    assert answer.status == 200, answer.body
    families = list(text_string_to_metric_families(answer.body.decode()))
    assert len({family.name for family in families}) == len(families)  # none comes twice
    return {family.name: family for family in families}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
    """The sum of the samples of that name that have these labels; 0 if there is none."""
    return sum(
        found.value
        for family in families.values()
        for found in family.samples
        if found.name == sample and labels.items() <= found.labels.items()
    )
