"""Measures what it costs to write down every call: in the access log, and as spans for a collector."""

from contextlib import ExitStack
from functools import partial

from bench.images import framed
from bench.load.h2load import h2load
from bench.measures import Wrong, interleave
from bench.peers.server_process import ServerProcess, python
from bench.rows import Bench
from bench.rows.users import REQUEST

ROW = "processor time of GetUser, written down"
OFF, LOGGED = "not at all", "in the access log"
SAMPLED, ALL = "as spans, 1 call in 100", "as spans, all calls"


def run(bench: Bench) -> None:
    """The server's processor time of a call, that of its exporter included."""
    calls = bench.size(20_000, 1_000)
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        body = folder / "body"
        body.write_bytes(framed(REQUEST))
        collector = stack.enter_context(python("bench.peers.collector", data_dir=folder))
        # All spans of a turn find room, so that none is left out of what is measured.
        sending = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{collector.address}/v1/traces",
            "OTEL_BSP_MAX_QUEUE_SIZE": "100000",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        sampling = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
        settings = {
            OFF: {},
            LOGGED: {"CONEXIONES_ACCESS_LOG": str(folder / "access.log"), "CONEXIONES_LOG_FORMAT": "json"},
            SAMPLED: sending | sampling,
            ALL: sending,
        }
        servers = {
            name: stack.enter_context(
                python("conexiones", "serve", data_dir=folder / str(number), **settings[name])
            )
            for number, name in enumerate(settings)
        }

        def spent(server: ServerProcess, number: int) -> float:
            before = server.cpu()
            path = "/user.UsuarioServicio/GetUser"
            found = h2load(server.address, path, body, requests=calls, connections=10, streams=10)
            if found.received < calls * len(b"Ana"):  # an error has no message
                raise Wrong("not every call was answered with the user")
            server.settle()  # until the last spans are sent
            return (server.cpu() - before) / calls * 1e6

        contenders = {name: partial(spent, server) for name, server in servers.items()}
        interleave(bench.results, ROW, contenders, unit="µs", warm=True, rounds=bench.size(11, 2))
