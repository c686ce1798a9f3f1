"""Makes docs/api.md, the reference of all services and messages, from the comments in proto/."""

import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

PROTO = Path(__file__).resolve().parent.parent / "proto"


def page() -> str:
    lines = [
        "# API reference",
        "",
        "This page is generated from the comments in [`proto/`](../proto). There are guides to",
        "[the tutorial's calls](calls.md), [uploads and images](uploads.md) and [errors](errors.md).",
        "",
    ]
    for file in _files():
        lines += _File(file).lines()
    return "\n".join(lines)


def _files() -> list[FileDescriptorProto]:
    well_known = Path(sysconfig.get_path("purelib")) / "grpc_tools" / "_proto"
    names = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{well_known}"]
        subprocess.run(
            [*command, "--include_source_info", f"--descriptor_set_out={out.name}", *names], check=True
        )
        return list(FileDescriptorSet.FromString(Path(out.name).read_bytes()).file)


class _File:
    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(place.path): place.leading_comments for place in file.source_code_info.location
        }

    def lines(self) -> Iterator[str]:
        # Paths consist of the field numbers of descriptor.proto and of indexes: 6 is a service, 4 a message,
        # 5 an enum, and 2 within these a method, a field or a value.
        for i, service in enumerate(self._file.service):
            yield from (f"## {self._file.package}.{service.name}", "", *self._text(6, i))
            for j, method in enumerate(service.method):
                asks = f"{'stream ' * method.client_streaming}{_short(method.input_type)}"
                gives = f"{'stream ' * method.server_streaming}{_short(method.output_type)}"
                yield from (f"### {method.name}", "", f"`{asks}` → `{gives}`", "", *self._text(6, i, 2, j))
        yield from (f"## Messages of `{self._file.name}`", "")
        for i, message in enumerate(self._file.message_type):
            yield from self._message(message, message.name, 4, i)
        for i, enum in enumerate(self._file.enum_type):
            yield from self._enum(enum, enum.name, 5, i)

    def _message(self, message: DescriptorProto, name: str, *path: int) -> Iterator[str]:
        yield from (f"### `{name}`", "", *self._text(*path))
        if message.field:
            yield from ("| field | type | number | |", "| --- | --- | --- | --- |")
        for i, field in enumerate(message.field):
            says = " ".join(self._text(*path, 2, i)).strip()
            yield f"| `{field.name}` | {_type(field)} | {field.number} | {says} |"
        if message.field:
            yield ""
        for i, enum in enumerate(message.enum_type):
            yield from self._enum(enum, f"{name}.{enum.name}", *path, 4, i)

    def _enum(self, enum: EnumDescriptorProto, name: str, *path: int) -> Iterator[str]:
        yield from (f"### `{name}`", "", *self._text(*path), "| value | number | |", "| --- | --- | --- |")
        for i, value in enumerate(enum.value):
            yield f"| `{value.name}` | {value.number} | {' '.join(self._text(*path, 2, i)).strip()} |"
        yield ""

    def _text(self, *path: int) -> list[str]:
        text = self._comments.get(path, "")
        return [*(line.strip() for line in text.strip().splitlines()), ""] if text else []


def _type(field: FieldDescriptorProto) -> str:
    kind = field.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = _short(field.type_name) if field.type_name else kind
    if field.label == field.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def _short(name: str) -> str:
    return name.removeprefix(".conexiones.v1.").removeprefix(".user.").removeprefix(".")
