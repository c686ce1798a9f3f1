"""Failures within replies are read by clients as docs/codegen.md generates them, with nothing registered."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.clients import node
from tests.support.paths import ROOT, WEB

PICTURE = b"".join(bitmap(20, 10))
FILES = [f"conexiones/v1/{name}.proto" for name in ("access", "errors", "images", "uploads")]


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    node()
    folder = tmp_path_factory.mktemp("generated")
    (folder / "node_modules").symlink_to(WEB / "node_modules")
    (folder / "gen").mkdir()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{ROOT / 'proto'}",
            "--plugin=node_modules/.bin/protoc-gen-es",
            "--es_out=gen",
            "--es_opt=target=js+dts,import_extension=js",
            "user.proto",
            *FILES,
        ],
        cwd=folder,
        check=True,
    )
    (folder / "package.json").write_text('{"type": "module"}')
    return folder / "gen"


@pytest.mark.parametrize(
    ("protocol", "format"), [("connect", "json"), ("connect", "binary"), ("grpc-web", "binary")]
)
def test_all_that_they_say_is_read(serving: Server, generated: Path, protocol: str, format: str) -> None:
    ran = subprocess.run(
        [node(), str(WEB / "failures.mjs"), str(generated), serving.address, protocol, format],
        env={**os.environ, "PICTURE": base64.b64encode(PICTURE).decode()},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    details = [failure.pop("details") for failure in found]
    assert all((count > 0) == (format == "binary") for count in details), "in JSON there are none"
    refused = {
        "code": 3,
        "reason": "NOT_AN_IMAGE",
        "message": "The bytes are not an image of any known format.",
        "mensaje": "Los bytes no son una imagen de ningún formato conocido.",
        "field": "image",
        "facts": {},
        "problem": {"unit": "", "limit": 0, "format": ""},
    }
    first, again, other, other_again, *streamed = found
    assert first == again == {**refused, "field": first["field"]}
    assert other == other_again
    assert (other["reason"], other["algorithm"]) == ("CHECKSUM_MISMATCH", "SHA-256")
    assert other["facts"].keys() == {"algorithm", "expected", "actual"}
    assert streamed == ([refused] if protocol == "connect" else [])
