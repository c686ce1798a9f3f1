"""The contract by which messages are decoded: that of this project, or one from a file."""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Self

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import Default, DescriptorPool
from google.protobuf.message import DecodeError

from conexiones.wire.events import Undecodable

MAX_FILE_BYTES = 16 << 20
COMPILE_SECONDS = 60
_FOLDERS = 8
"""Folders above a .proto file from which its imports are looked for, the nearest first."""


@dataclass(frozen=True, slots=True)
class Method:
    takes: Descriptor
    gives: Descriptor


class Contract:
    """Finds messages and methods by their names."""

    def __init__(self, files: Iterable[FileDescriptor] = (), pool: DescriptorPool | None = None) -> None:
        self._pool = pool or DescriptorPool()
        self._names = [name for file in files for name in _names(file.message_types_by_name.values())]

    @classmethod
    def ours(cls) -> Self:
        """What is generated in conexiones.gen, and the details of errors."""
        from google.protobuf import any_pb2, duration_pb2, timestamp_pb2
        from google.rpc import error_details_pb2, status_pb2

        from conexiones.gen import user_pb2
        from conexiones.gen.conexiones.v1 import (
            access_pb2,
            errors_pb2,
            images_pb2,
            uploads_pb2,
        )
        from conexiones.gen.conexiones.v1 import (
            status_pb2 as status,
        )

        ours = (user_pb2, access_pb2, errors_pb2, images_pb2, status, uploads_pb2)
        others = (any_pb2, duration_pb2, timestamp_pb2, error_details_pb2, status_pb2)
        return cls([module.DESCRIPTOR for module in (*ours, *others)], Default())

    @classmethod
    def of(cls, path: Path) -> Self:
        """That of a .proto file, for which there has to be a protoc, or of a descriptor set. Blocks. Raises
        OSError and Undecodable."""
        text = _compiled(path) if path.suffix == ".proto" else _read(path)
        try:
            found = FileDescriptorSet.FromString(text)
        except DecodeError:
            raise Undecodable(
                f"{path} is neither a .proto file nor a descriptor set, which protoc writes with"
                " --descriptor_set_out."
            ) from None
        pool = DescriptorPool()
        try:
            files = _add(pool, found.file)
        except (TypeError, KeyError, ValueError) as error:
            raise Undecodable(
                f"{path} is not a whole contract: {_line(str(error))}. protoc writes one with"
                " --include_imports."
            ) from None
        if not any(file.message_types_by_name for file in files):
            raise Undecodable(f"{path} has no message.")
        return cls(files, pool)

    def message(self, name: str) -> Descriptor:
        """The message with this name, which may be without its package. Raises Undecodable."""
        found = [one for one in self._names if one == name] or [
            one for one in self._names if one.endswith(f".{name}")
        ]
        if len(found) > 1:
            raise Undecodable(f"{name!r} may be any of {', '.join(sorted(found)[:8])}.")
        if not found:
            near = get_close_matches(name, self._names, 3, 0.4)
            hint = f" Near it are {', '.join(near)}." if near else ""
            raise Undecodable(f"The contract has no message {name!r}.{hint}")
        return self._pool.FindMessageTypeByName(found[0])

    def known(self, name: str) -> Descriptor | None:
        """The message with this full name; None if the contract does not have it."""
        try:
            return self._pool.FindMessageTypeByName(name)
        except (KeyError, TypeError):  # the latter for what is no text
            return None

    def method(self, path: str) -> Method | None:
        """The method of a path such as /user.UsuarioServicio/GetUser; None if the contract has none."""
        service, _, name = path.partition("?")[0].lstrip("/").rpartition("/")
        try:
            found = self._pool.FindServiceByName(service).methods_by_name[name]
        except (KeyError, TypeError):
            return None
        return Method(found.input_type, found.output_type)


def _names(messages: Iterable[Descriptor]) -> Iterator[str]:
    for message in messages:
        yield message.full_name
        yield from _names(message.nested_types)


def _add(pool: DescriptorPool, files: Sequence[FileDescriptorProto]) -> list[FileDescriptor]:
    """Adds the files, each after those that it imports. Raises TypeError for what is no contract."""
    waiting = {file.name: file for file in files}
    added: dict[str, FileDescriptor] = {}
    while waiting:
        ready = [file for file in waiting.values() if added.keys() >= set(file.dependency)]
        if not ready:
            missing = (
                {name for file in waiting.values() for name in file.dependency}
                - added.keys()
                - waiting.keys()
            )
            raise TypeError(f"it imports {', '.join(sorted(map(str, missing))) or 'itself'}")
        for file in ready:
            # A file whose name is not in ASCII is not found by it afterwards.
            added[file.name] = pool.AddSerializedFile(file.SerializeToString())
            del waiting[file.name]
    return list(added.values())


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(MAX_FILE_BYTES + 1)
    if len(text) > MAX_FILE_BYTES:
        raise Undecodable(f"{path} is larger than a contract may be ({MAX_FILE_BYTES} bytes).")
    return text


def _compiled(path: Path) -> bytes:
    """The descriptor set of a .proto file, whose imports are looked for in its folder and those above."""
    _read(path)  # so that what cannot be read is an OSError
    if find_spec("grpc_tools"):
        compiler = [sys.executable, "-m", "grpc_tools.protoc"]
    elif found := which("protoc"):
        compiler = [found]
    else:
        raise Undecodable(
            f"{path} needs a protoc: pip install grpcio-tools. Or give the descriptor set that protoc"
            " --include_imports --descriptor_set_out writes."
        )
    first = ""
    path = path.absolute()
    with tempfile.TemporaryDirectory(prefix="conexiones-wire-") as folder:
        out = Path(folder) / "set"
        for root in list(path.parents)[:_FOLDERS]:
            command = [*compiler, f"-I{root}", "--include_imports", f"--descriptor_set_out={out}", str(path)]
            try:
                ran = subprocess.run(
                    command,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    check=False,
                    timeout=COMPILE_SECONDS,
                )
            except subprocess.TimeoutExpired:
                raise Undecodable(
                    f"{path} cannot be compiled: protoc was still at it after {COMPILE_SECONDS} seconds."
                ) from None
            if ran.returncode == 0:
                return _read(out)
            first = first or ran.stderr or ran.stdout
    raise Undecodable(f"{path} cannot be compiled: {_line(first)}.")


def _line(text: str) -> str:
    """The first line of what a program said, as the end of a sentence."""
    return (text.strip().splitlines() or ["it does not say why"])[0].strip().rstrip(".")
