"""Builds the suites with Go, and describes the protocol buffers that they use, in build/conformance."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.protocols import BUILD, DESCRIPTORS

HERE = Path(__file__).resolve().parent

CONNECT = "connectrpc.com/conformance"
GRPC = "google.golang.org/grpc"
H2SPEC = "github.com/summerwind/h2spec"


class BuildError(Exception):
    """The suites cannot be built. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suites:
    """The programs of the suites, and the versions of their modules."""

    connectconformance: Path
    interop_client: Path
    h2spec: Path
    versions: dict[str, str]


def build() -> Suites:
    """Builds the suites, which takes a moment if Go has them in its cache. Raises BuildError."""
    BUILD.mkdir(parents=True, exist_ok=True)
    # A copy, because Go adds the modules that are needed indirectly to it.
    shutil.copy(HERE / "go.mod", BUILD / "go.mod")
    binaries = BUILD / "bin"
    _go("install", "-ldflags=-s -w", "tool", GOBIN=str(binaries))
    modules = {module: json.loads(_go("list", "-m", "-json", module)) for module in (CONNECT, GRPC, H2SPEC)}
    _describe(Path(modules[CONNECT]["Dir"]) / "proto")
    return Suites(
        connectconformance=binaries / "connectconformance",
        interop_client=binaries / "client",
        h2spec=binaries / "h2spec",
        versions={name: module["Version"].partition("+")[0] for name, module in modules.items()},
    )


def _go(*command: str, **variables: str) -> str:
    environ = {**os.environ, "GOFLAGS": "-mod=mod", "GOWORK": "off", **variables}
    done = subprocess.run(
        ["go", *command], cwd=BUILD, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"go {' '.join(command)}: {done.stderr}")
    return done.stdout


def _describe(protos: Path) -> None:
    files = [f"connectrpc/conformance/v1/{name}.proto" for name in ("config", "service", "server_compat")]
    includes = [f"--proto_path={folder}" for folder in (protos, HERE)]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", *includes, f"--descriptor_set_out={DESCRIPTORS}"]
    done = subprocess.run([*protoc, *files, "interop.proto"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"protoc: {done.stderr}")
