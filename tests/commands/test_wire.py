"""`--wire` and `conexiones wire decode`."""

import base64
import json
import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.testing import Server
from tests.commands.shell import CLI, Shell, ended, lines, said
from tests.support.certificates import authority, mtls
from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE
from tests.wire.made import descriptor_set, envelope, every, request

ANA = GetUserRequest(name="Ana", pow=7).SerializeToString()
PROTOCOLS = ("grpc", "grpc-web", "grpc-web-text", "connect", "connect-proto")
GOLDEN = ROOT / "tests" / "commands" / "wire"
"""What is to be shown. CONEXIONES_WRITE=1 has it written anew."""


def normalised(text: str, address: str) -> str:
    """What is shown of the call itself, without what differs from one run to the next."""
    blocks: list[list[str]] = []
    for line in filter(lambda line: line.startswith(" "), text.splitlines()):
        if re.match(r" *\d+\.\d [→←] ", line):
            blocks.append([])
        if blocks:
            blocks[-1].append(line)
    kept = [block for block in blocks if not re.search(r" - |WINDOW_UPDATE|DATA|BODY|CHUNK", block[0])]
    text = "\n".join(line for block in kept for line in block).replace(address, "SERVER")
    for varies, instead in (
        (r"\n {20}(?=[\"}])", " "),  # where JSON is broken depends on the times in it
        (r"^ *\d+\.\d", "     0.0"),
        (r"(?<=: )[A-Z][a-z]{2}, [^\n]*GMT", "DATE"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
        (r"(?<=x-request-id: )[0-9a-f-]{36}", "ID"),
        (r"(seconds|nanos): \d+  \(.*\)", r"\1: NUMBER"),
        (r"(?<=[ (])(2a|32|52|00 00 00 00) [0-9a-f]{2}(?= …|  \()", r"\1 NN"),
        (r"(HEADERS|REQUEST|RESPONSE)( +)\d+ bytes", r"\1\2N bytes"),
        (r"user-agent: [^\n]*(\n    .*\))?$", "user-agent: AGENT"),
        (r"\d+ bytes(?=  user.GetUserReply)|(?<=\(not compressed, )\d+ bytes", "N bytes"),
    ):
        text = re.sub(varies, instead, text, flags=re.MULTILINE)
    return text + "\n"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_hello_shows_the_call_in_each_protocol(shell: Shell, protocol: str) -> None:
    ran = shell("hello", "Marta", "--pow", "7", "--wire", "--protocol", protocol)
    assert (
        lines(shell("hello", "Marta", "--pow", "7", "--protocol", protocol, "--json"))[0]["pow_squared"] == 49
    )
    text = ran.stdout.decode()
    assert all(len(line) <= 80 for line in text.splitlines())
    if os.environ.get("CONEXIONES_WRITE") == "1":
        (GOLDEN / f"{protocol}.txt").write_text(normalised(text, shell.address))
    assert normalised(text, shell.address) == (GOLDEN / f"{protocol}.txt").read_text()


def test_the_same_as_json(shell: Shell) -> None:
    said = lines(shell("hello", "Ana", "--pow", "7", "--wire=json"))
    assert [one["pow_squared"] for one in said if "wire" not in one] == [49]
    events = [one for one in said if "wire" in one]
    assert all(
        event.keys() >= {"wire", "ms", "from", "connection", "stream", "length", "flags"} for event in events
    )
    (sent,) = [event for event in events if event["wire"] == "MESSAGE" and event["from"] == "client"]
    assert sent["prefix"] == f"{len(ANA):010x}"
    assert sent["message"] == {
        "type": "user.GetUserRequest",
        "fields": [
            {
                "number": 1,
                "name": "name",
                "type": "string",
                "value": "Ana",
                "size": 3,
                "bytes": "0a03416e61",
                "length": 5,
            },
            {"number": 2, "name": "pow", "type": "int32", "value": 7, "bytes": "1007", "length": 2},
        ],
    }
    (request,) = [event for event in events if event["wire"] == "HEADERS" and event["from"] == "client"]
    assert {"name": ":authority", "value": shell.address} in request["headers"]


def test_a_first_look_needs_no_name(shell: Shell) -> None:
    assert b"Mundo" in shell("hello").stdout
    assert b'name: "Mundo"' in shell("hello", "--wire").stdout
    assert b'name: "Marta"' in shell("hello", "--wire", "Marta").stdout
    assert b"not one of" in shell("hello", "--wire=xml", status=2).stderr


def test_colours_are_for_terminals(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    command = [*CLI, "wire", "decode", "1007"]
    for environ, there in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)):
        subprocess.run(command, env=shell.environ | environ, stdout=theirs, check=True)
        assert (b"\x1b[" in os.read(ours, 4096)) == there
    os.close(theirs)
    os.close(ours)


def test_a_token_is_never_shown(sharing: Callable[..., Server], tmp_path: Path) -> None:
    server = sharing(auth="required")
    shell = Shell(tmp_path, server.address)
    for protocol in ("grpc", "connect"):
        ran = shell("hello", "--wire", "--protocol", protocol, CONEXIONES_TOKEN=server.token)
        assert b"authorization: Bearer (hidden)" in ran.stdout
        assert server.token[4:12] not in ran.stdout.decode()


@pytest.mark.parametrize("protocol", ["grpc", "grpc-web", "connect"])
def test_errors_are_those_of_every_call(shell: Shell, protocol: str) -> None:
    ran = shell("hello", "a" * 300, "--wire", "--protocol", protocol, status=1)
    assert "NAME_TOO_LONG" in ran.stdout.decode() or "invalid_argument" in ran.stdout.decode()
    assert said(ran) == said(shell("hello", "a" * 300, "--protocol", protocol, status=1))
    nobody = shell("hello", "--wire", "--protocol", protocol, "--address", "127.0.0.1:1", status=1)
    (line,) = said(nobody)
    assert line.startswith("conexiones: No server answers at 127.0.0.1:1: Connection refused. (")
    assert nobody.stdout == b""


def test_put_get_ls_and_watch(shell: Shell, photograph: bytes) -> None:
    (shell.folder / "a.jpg").write_bytes(photograph)
    text = shell("put", "a.jpg", "--wire").stdout.decode()
    assert "conexiones.v1.UploadImage" in text
    (stored,) = [line for line in text.splitlines() if line.endswith("  a.jpg")]
    id = stored.partition(" ")[0]
    events = lines(shell("put", "a.jpg", "--wire=json"))
    assert [one["file"] for one in events if "wire" not in one] == ["a.jpg"]
    text = shell("get", id, "-o", "copy.jpg", "--wire").stdout.decode()
    assert "conexiones.v1.DownloadImageResponse" in text
    assert [line for line in text.splitlines() if line.startswith(id)]
    assert (shell.folder / "copy.jpg").read_bytes() == photograph
    assert b"give -o FILE" in shell("get", id, "-o", "-", "--wire", status=2).stderr
    assert [one["file"] for one in lines(shell("get", id, "--wire=json")) if "wire" not in one] == [
        f"{id}.jpg"
    ]
    events = lines(shell("ls", "--limit", "1", "--wire=json"))
    (reply,) = [one for one in events if one.get("wire") == "MESSAGE" and one["from"] == "server"]
    assert reply["message"]["type"] == "conexiones.v1.ListImagesResponse"
    assert len([one for one in events if "wire" not in one]) == 1
    watching = shell.start("watch", "--wire=json")
    with watching, ended(watching):
        assert watching.stdout
        for line in watching.stdout:
            event = json.loads(line)
            if event["wire"] == "MESSAGE" and event["from"] == "server":
                break
        assert event["message"]["type"] == "conexiones.v1.WatchImagesResponse"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(DEADLINE) == 130


def test_what_is_shown_may_be_left_unread(shell: Shell) -> None:
    for words in (("hello", "Ana", "--wire"), ("wire", "decode", "1007")):
        unread, output = os.pipe()
        os.close(unread)
        ran = subprocess.run(
            [*CLI, *words], env=shell.environ, stdout=output, stderr=subprocess.PIPE, check=False
        )
        os.close(output)
        assert (ran.returncode, ran.stderr) == (1, b"")


def test_what_is_inside_of_tls(tmp_path: Path, sharing: Callable[..., Server]) -> None:
    authority(tmp_path)
    server = sharing(**mtls(tmp_path))
    shell = Shell(tmp_path, server.address)
    security = ("--ca", "ca.pem", "--cert", "client.pem", "--key", "client.key")
    for protocol in ("grpc", "grpc-web", "connect"):
        text = shell("hello", "Ana", "--wire", "--protocol", protocol, *security).stdout.decode()
        assert "Ana" in text
    for some, why in (
        (("--ca", "ca.pem"), "it may want a client certificate: give cert and key"),
        (("--tls",), "its certificate is of a CA that is not trusted here: give ca"),
        (("--ca", "client.key"), "ca, cert or key is not the PEM file that it should be"),
        ((), "it wants TLS: give tls, or ca with its CA"),
    ):
        for protocol in ("grpc", "connect"):
            (line,) = said(shell("hello", "--wire", "--protocol", protocol, *some, status=1))
            assert f": {why}. (" in line


def decoded(shell: Shell, *arguments: str, status: int = 0, text: bytes = b"") -> list[str]:
    return shell("wire", "decode", *arguments, status=status, text=text).stdout.decode().splitlines()


FIELDS = ['  1 name: "Ana"  (0a 03 41 6e 61)', "  2 pow: 7  (10 07)"]


def test_bytes_of_a_file_and_of_a_pipe(shell: Shell) -> None:
    (shell.folder / "body.bin").write_bytes(envelope(ANA) * 2)
    assert decoded(shell, ANA.hex(), "--message", "GetUserRequest") == [
        "MESSAGE       7 bytes  user.GetUserRequest",
        *FIELDS,
    ]
    shown = decoded(shell, "body.bin", "--message", "GetUserRequest")
    assert [line for line in shown if line.startswith("MESSAGE")] == shown[:1] + shown[4:5]
    assert shown[1] == "  00 00 00 00 07  (not compressed, 7 bytes)"
    assert shown[2:4] == FIELDS
    assert decoded(shell, text=envelope(ANA))[2:] == [
        '  1 string?: "Ana"  (0a 03 41 6e 61)',
        "  2 varint: 7  (10 07)",
    ]


def test_what_is_named_is_read_whatever_kind_of_file_it_is(shell: Shell) -> None:
    os.mkfifo(shell.folder / "feed")
    writing = threading.Thread(target=(shell.folder / "feed").write_bytes, args=(ANA,))
    writing.start()
    try:
        assert decoded(shell, "feed", "--message", "GetUserRequest")[1:] == FIELDS
    finally:
        writing.join()
    (shell.folder / "0801").mkdir()
    assert said(shell("wire", "decode", "0801", status=1)) == ["conexiones: 0801: Is a directory."]


def test_bodies_of_each_protocol(shell: Shell) -> None:
    trailers = envelope(b"grpc-status: 5\r\ngrpc-message: no%20image\r\n", 0x80)
    web = envelope(ANA) + trailers
    for body in (web.hex(), base64.b64encode(envelope(ANA)).decode() + base64.b64encode(trailers).decode()):
        shown = decoded(shell, body)
        assert "  grpc-status: 5  (NOT_FOUND)" in shown
        assert "  grpc-message: no%20image  (no image)" in shown
    end = envelope(b'{"error":{"code":"not_found"}}', 2)
    (one, two) = lines(shell("wire", "decode", (envelope(ANA) + end).hex(), "--json"))
    assert (one["wire"], two["wire"], two["flags"]) == ("MESSAGE", "END", ["END_STREAM"])
    assert two["message"]["json"] == '{"error":{"code":"not_found"}}'
    frames = lines(shell("wire", "decode", "--json", text=request([ANA])))
    assert [frame["wire"] for frame in frames] == ["PREFACE", "SETTINGS", "HEADERS", "DATA", "MESSAGE"]
    assert frames[-1]["message"]["fields"][0]["value"] == "Ana"
    http1 = b"POST /user.UsuarioServicio/GetUser HTTP/1.1\r\ncontent-type: application/proto\r\n"
    shown = decoded(shell, text=http1 + b"content-length: 7\r\n\r\n" + ANA)
    assert shown[-2:] == FIELDS


def test_a_contract_of_ones_own(shell: Shell) -> None:
    (shell.folder / "every.set").write_bytes(descriptor_set())
    (shell.folder / "own.proto").write_text(
        'syntax = "proto3"; package own; import "google/protobuf/timestamp.proto";'
        "message Thing { string label = 1; google.protobuf.Timestamp at = 2; }"
    )
    (shell.folder / "bad.proto").write_text("message {")
    shown = decoded(shell, every(a_int32=7).hex(), "--proto", "every.set", "--message", "Every")
    assert shown[1:] == ["  5 a_int32: 7  (28 07)"]
    assert (
        decoded(shell, "0a0141", "--proto", "own.proto", "--message", "own.Thing")[1]
        == '  1 label: "A"  (0a 01 41)'
    )
    (shell.folder / "cañón").mkdir()
    (shell.folder / "cañón" / "ñandú.proto").write_text(
        'syntax = "proto3"; message Ave { string label = 1; }'
    )
    (shell.folder / "año.proto").write_text(
        'syntax = "proto3"; import "cañón/ñandú.proto"; message Nido { Ave ave = 1; }'
    )
    assert decoded(shell, "0a030a0141", "--proto", "año.proto", "--message", "Nido")[-1].endswith(
        '1 label: "A"  (0a 01 41)'
    )
    users = str(ROOT / "proto" / "conexiones" / "v1" / "images.proto")
    assert (
        decoded(shell, "0a0141", "--proto", users, "--message", "GetImageRequest")[1]
        == '  1 id: "A"  (0a 01 41)'
    )
    for arguments, says in (
        (("--proto", "none.proto"), "none.proto: No such file or directory."),
        (("--proto", "bad.proto"), "cannot be compiled: "),
        (("--proto", "/dev/null"), "/dev/null has no message."),
        (("--message", "Nothing"), "The contract has no message 'Nothing'."),
        (("--message", "user.GetUserRequset"), "Near it are user.GetUserRequest, "),
    ):
        (line,) = said(shell("wire", "decode", "0801", *arguments, status=1))
        assert says in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("zz!",), "The bytes are neither hexadecimal nor base64, and no file."),
        (("0a05416e61",), "At byte 0: Field 1 is said to have 5 bytes, and 3 are left."),
        (("0000000007", "--protocol", "grpc"), "The body ends within a message, after 0 of 7 bytes."),
    ],
)
def test_what_is_wrong_with_bytes_is_one_line(shell: Shell, arguments: tuple[str, ...], says: str) -> None:
    assert said(shell("wire", "decode", *arguments, status=1)) == [f"conexiones: {says}"]
