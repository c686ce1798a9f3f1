"""The clients: how each is run, and which cases it leaves out."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.foreign.build import BUILD
from tests.foreign.given import CASES

REQUEST_STREAMS = dict.fromkeys(
    ("GetStreamImage", "ImageStreamReply", "GetUserBidiStream"), "it has no streams of requests"
)
ALONE = "it asks for the health alone"
HEALTH = {"health": ""}
"""Health is the same call for all. Those ask for it that have generated code for it, or need none."""
NO_GZIP = {"gzip": "it does not compress requests"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client, or one of its protocols.

    library: as users know it.
    family: what is built for it, of `build.FAMILIES`.
    kind: its protocol, if it has several.
    small: it is given a smaller image, since to encode 50 MB would take minutes.
    left_out: the cases that it does not make, and why.
    short: it is one of those that the tests run.
    """

    library: str
    family: str
    command: tuple[str, ...]
    kind: str = ""
    small: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)
    short: bool = True

    def __str__(self) -> str:
        return f"{self.library}, {self.kind}" if self.kind else self.library

    @property
    def cases(self) -> list[str]:
        return [case for case in CASES if case not in self.left_out]


def _clients() -> Iterator[Client]:
    go = BUILD / "go" / "bin"
    node = BUILD / "node"
    yield Client(library="grpc-go", family="go", command=(str(go / "grpc"),))
    for kind in ("Connect", "Connect, JSON", "gRPC", "gRPC-Web"):
        yield Client(
            library="connect-go",
            family="go",
            command=(str(go / "connect"),),
            kind=kind,
            small="JSON" in kind,
            short=kind == "Connect",
            left_out=HEALTH,
        )
    jars = f"{BUILD / 'java' / 'target' / 'classes'}:{BUILD / 'java' / 'target' / 'dependency'}/*"
    # The program ends before it would gain from the second compiler.
    java = ("java", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", jars, "foreign.Main")
    yield Client(library="grpc-java", family="java", command=java, left_out=HEALTH)
    rust = str(BUILD / "rust" / "target" / "debug" / "foreign")
    yield Client(library="tonic", family="rust", command=(rust,), left_out=HEALTH)
    for kind in (
        "Connect, HTTP/1.1",
        "Connect, JSON, HTTP/1.1",
        "Connect, HTTP/2",
        "Connect, JSON, HTTP/2",
        "gRPC, HTTP/2",
        "gRPC, JSON, HTTP/2",
        "gRPC-Web, HTTP/1.1",
        "gRPC-Web, HTTP/2",
    ):
        yield Client(
            library="connect-es",
            family="node",
            command=("node", str(node / "connect.js")),
            kind=kind,
            small="JSON" in kind,
            short=kind in {"Connect, JSON, HTTP/1.1", "gRPC-Web, HTTP/2"},
            left_out=HEALTH,
        )
    for kind in ("text", "binary"):
        yield Client(
            library="grpc-web",
            family="node",
            command=("node", str(node / "grpc-web.js")),
            kind=kind,
            left_out=REQUEST_STREAMS | HEALTH | NO_GZIP,
            short=kind == "text",
        )
    nice = ("node", str(node / "nice-grpc.cjs"))
    yield Client(library="nice-grpc", family="node", command=nice, left_out=HEALTH)
    python = (str(BUILD / "python" / "venv" / "bin" / "python"), str(BUILD / "python" / "calls.py"))
    yield Client(library="grpclib", family="python", command=python, left_out=HEALTH | NO_GZIP)
    commands = (sys.executable, "-m", "tests.foreign.commands")
    no_upload = {"upload": "a script would need one call for each chunk"}
    yield Client(
        library="grpcurl",
        family="go",
        command=(*commands, "grpcurl", str(go / "grpcurl")),
        small=True,
        left_out=NO_GZIP | no_upload,
    )
    only = dict.fromkeys((case for case in CASES if case != "health"), ALONE)
    probe = (*commands, "probe", str(go / "grpc-health-probe"))
    yield Client(library="grpc_health_probe", family="go", command=probe, left_out=only)


CLIENTS = tuple(_clients())
