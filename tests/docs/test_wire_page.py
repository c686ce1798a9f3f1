"""docs/wire.md: its commands run, and say what it shows."""

import re

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.testing import Server
from tests.commands.shell import Shell
from tests.support.clients import need
from tests.support.paths import ROOT
from tests.wire.made import envelope

PAGE = (ROOT / "docs" / "wire.md").read_text()
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
OUTPUTS = re.findall(r"```\n((?:MESSAGE|      ms).*?)```", PAGE, re.DOTALL)


def test_its_commands_run(shared: Server, tmp_path) -> None:
    for program in ("curl", "jq"):
        need(program, f"apt install {program}")
    (tmp_path / "request.bin").write_bytes(envelope(GetUserRequest(name="Eva").SerializeToString()))
    shell = Shell(tmp_path, shared.address)
    ran = [shell.bash(block.replace("localhost:50051", shared.address)) for block in SHELL]
    call, _, programs, bytes_, replies = (one.stdout.decode() for one in ran)
    frames, fields = OUTPUTS
    shown = set(call.splitlines())
    for line in frames.splitlines():
        # Times, lengths of headers and versions differ.
        if not re.search(r"\d [→←]| \(|date|authority|user-agent|request-id", line):
            assert line in shown, line
    assert '["name","Eva","0a03457661"]' in programs
    assert bytes_ == fields
    assert "grpc-status:0" in replies or "grpc-status: 0  (OK)" in replies
