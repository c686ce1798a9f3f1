"""The tutorial's contract: clients generated from its text work, and our proto files only add to it."""

import base64
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from PIL import Image

from conexiones.testing import Server
from tests.support.paths import ROOT

TUTORIAL = ROOT.parent / "shared" / "tutorial.md"
ELEPHANT = ROOT / "client" / "image" / "elephant.jpg"
FIRST_OF_OURS = 10


@pytest.fixture(scope="module")
def tutorial() -> str:
    """The text of the tutorial, which alone has the contract: a copy here could be changed by mistake."""
    if not TUTORIAL.exists():
        reason = f"{TUTORIAL} is missing, which has the contract"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return TUTORIAL.read_text()


@pytest.fixture
def generated(tutorial: str, tmp_path: Path) -> Path:
    """A folder with user.proto as the tutorial has it, and what its command makes of it."""
    [proto] = re.findall(r"^```proto\n(.*?)^```$", tutorial, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "user.proto").write_text(proto)
    protoc(tutorial, tmp_path)
    return tmp_path


def protoc(tutorial: str, folder: Path) -> None:
    """Runs the tutorial's command for Python, word for word."""
    [command] = re.findall(r"^python -m grpc_tools\.protoc .*$", tutorial, flags=re.MULTILINE)
    python, *words = shlex.split(command)
    assert python == "python"
    subprocess.run([sys.executable, *words], cwd=folder, check=True)


def described(folder: Path) -> FileDescriptorProto:
    """The file user.proto of the folder, as protoc understands it."""
    out = folder / "described"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"-o{out}", "user.proto"]
    subprocess.run(command, cwd=folder, check=True)
    [file] = FileDescriptorSet.FromString(out.read_bytes()).file
    return file


def test_clients_of_the_tutorial_make_all_five_calls(generated: Path, server: Server) -> None:
    client = Path(__file__).with_name("contract_client.py")
    ran = subprocess.run(
        [sys.executable, "-W", "error", client, generated, server.address, ELEPHANT],
        cwd=generated,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    facts = "JPEG de 1280 × 853 (1091840 píxeles), 317645 bytes"
    assert found["GetUser"] == "¡Hola, Zoé! Tu pow es 3 y su cuadrado es 9."
    assert facts in found["ProcessImage"]
    assert facts in found["GetStreamImage"]
    stored, refused = found["ImageStreamReply"]
    assert facts in stored
    assert refused.startswith("Imagen rechazada.")
    replies = found["GetUserBidiStream"]
    assert [reply[:2] for reply in replies] == [["Zoé", 144], ["Zoé", 144], ["", 0], ["Luis", 0]]
    previews = [base64.b64decode(reply[2]) for reply in replies]
    assert previews[0] == previews[1]
    assert previews[2:] == [b"", b""]
    with Image.open(io.BytesIO(previews[0])) as preview:
        assert (preview.format, preview.width) == ("JPEG", 256)
        assert preview.height in {170, 171}  # 170.6
    assert found["error"] == ["INVALID_ARGUMENT", "The name is empty: send 1 to 256 characters."]


def test_ours_only_adds(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    theirs = described(generated)
    ours = described(Path(shutil.copytree(ROOT / "proto", tmp_path_factory.mktemp("ours") / "proto")))
    for name in ("name", "package", "syntax", "options", "service"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert theirs.options.java_package == "io.grpc.examples.helloworld"
    messages = {message.name: message for message in ours.message_type}
    assert not ours.enum_type
    assert not ours.extension
    for message in theirs.message_type:
        extended(message, messages[message.name])


def extended(theirs: DescriptorProto, ours: DescriptorProto) -> None:
    """Asserts that our message has all fields of the tutorial's unchanged, and its own from 10 up."""
    fields = {field.number: field for field in ours.field}
    for field in theirs.field:
        assert fields.pop(field.number) == field, f"{theirs.name}.{field.name}"
    assert all(number >= FIRST_OF_OURS for number in fields), theirs.name
    rest = DescriptorProto()
    rest.CopyFrom(ours)
    del rest.field[:]
    assert rest == DescriptorProto(name=theirs.name)


def test_the_command_of_the_tutorial_works_here(tutorial: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ROOT / "proto", tmp_path / "proto"))
    protoc(tutorial, folder)
    program = "import user_pb2_grpc as it; print(it.UsuarioServicioStub.__name__, it.user__pb2.User.__name__)"
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert ran.stdout == "UsuarioServicioStub User\n"
