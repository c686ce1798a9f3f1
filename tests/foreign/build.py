"""Builds the programs by family, with the tools of their languages, in build/foreign.

A family is built again only if its sources or the contracts have changed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

HERE = Path(__file__).resolve().parent
BUILD = ROOT / "build" / "foreign"
PROTO = ROOT / "proto"

GOOGLE = Path(sysconfig.get_path("purelib"))
"""Has google/rpc/*.proto, from googleapis-common-protos."""

_CONTRACTS = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))


class BuildError(Exception):
    """A family cannot be built. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Programs that are built together.

    needs: program → what to do if it is missing. make: builds in the folder that it is given.
    """

    needs: Mapping[str, str]
    make: Callable[[Path], None]

    def missing(self) -> str:
        """What is missing to build it, in one line; empty if nothing is."""
        return "; ".join(
            f"{program} is missing ({how})"
            for program, how in self.needs.items()
            if not shutil.which(program)
        )


def built(name: str) -> bool:
    """Whether the family is built from the sources as they are."""
    stamp = BUILD / name / ".built"
    return stamp.exists() and stamp.read_text() == _fingerprint(name)


def build(name: str) -> None:
    """Builds a family, if that is needed. Raises BuildError."""
    if built(name):
        return
    sources = _fingerprint(name)
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".built").unlink(missing_ok=True)
    shutil.copytree(HERE / name, folder, dirs_exist_ok=True)
    FAMILIES[name].make(folder)
    (folder / ".built").write_text(sources)


def _fingerprint(name: str) -> str:
    digest = hashlib.sha256()
    for tree in (HERE / name, PROTO):
        for path in sorted(path for path in tree.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(tree)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _run(folder: Path, *command: str | Path, **environ: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"{' '.join(map(str, command))}:\n{done.stdout[-4000:]}")


def _protoc(folder: Path, *options: str) -> None:
    _run(folder, sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{GOOGLE}", *options)


def _go(folder: Path) -> None:
    go = {"GOBIN": str(folder / "bin"), "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    _run(folder, "go", "install", "-ldflags=-s -w", "tool", **go)
    packages = {name: f"foreign/gen/{'v1' if '/' in name else 'user'}" for name in _CONTRACTS}
    for plugin in ("go", "go-grpc", "connect-go"):
        options = [f"--{plugin}_opt=M{name}={package}" for name, package in packages.items()]
        _protoc(
            folder,
            f"--plugin=bin/protoc-gen-{plugin}",
            *(f"--{plugin}_out=.", f"--{plugin}_opt=module=foreign"),
            *(*options, *_CONTRACTS),
        )
    _run(folder, "go", "build", "-o", "bin/", "./grpc", "./connect", **go)


def _rust(folder: Path) -> None:
    # prost calls the program `protoc`. That of grpcio-tools is a module of Python.
    protoc = folder / "protoc"
    protoc.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    environ = {"PROTOC": str(protoc), "FOREIGN_PROTO": str(PROTO), "CARGO_TARGET_DIR": str(folder / "target")}
    _run(folder, "cargo", "build", "--quiet", "--locked", **environ)


def _java(folder: Path) -> None:
    _run(folder, "mvn", "--batch-mode", "--quiet", f"-Dprotos={PROTO}", "process-classes")


def _node(folder: Path) -> None:
    _run(folder, "npm", "ci", "--silent", "--no-progress")
    for name in ("es", "ts"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    details = ["google/rpc/error_details.proto", "google/rpc/status.proto"]
    es = ["--plugin=node_modules/.bin/protoc-gen-es", "--es_out=es", "--es_opt=target=js,import_extension=js"]
    _protoc(folder, *es, *_CONTRACTS, *details)
    services = "outputServices=nice-grpc,outputServices=generic-definitions"
    ts = ["--plugin=node_modules/.bin/protoc-gen-ts_proto", "--ts_proto_out=ts"]
    _protoc(folder, *ts, f"--ts_proto_opt={services},useExactTypes=false,esModuleInterop=true", *_CONTRACTS)
    bundle = ["--bundle", "--platform=node", "--packages=external", "--log-level=warning"]
    _run(folder, "node_modules/.bin/esbuild", "nice-grpc.ts", *bundle, "--outfile=nice-grpc.cjs")


def _python(folder: Path) -> None:
    venv = folder / "venv"
    _run(folder, sys.executable, "-m", "venv", "--clear", venv)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run(folder, *pip, "install", "--require-hashes", "-r", "requirements.txt")
    gen = folder / "gen"
    gen.mkdir(exist_ok=True)
    plugin = f"--plugin=protoc-gen-grpclib_python={venv}/bin/protoc-gen-grpclib_python"
    _protoc(folder, plugin, "--python_out=gen", "--grpclib_python_out=gen", *_CONTRACTS)


FAMILIES: Mapping[str, Family] = {
    "go": Family(needs={"go": "install Go 1.26"}, make=_go),
    "node": Family(needs={"npm": "apt install nodejs npm"}, make=_node),
    "python": Family(needs={}, make=_python),
    "rust": Family(needs={"cargo": "install Rust 1.88 or newer"}, make=_rust),
    "java": Family(
        needs={
            "mvn": "apt install maven",
            "grpc_java_plugin": "apt install protobuf-compiler-grpc-java-plugin",
        },
        make=_java,
    ),
}
"""The families by the name of their folder."""
