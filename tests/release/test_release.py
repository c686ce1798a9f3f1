"""What `make dist` has built: it can be made again with the same bytes, and works in empty environments."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conexiones.testing import Server
from tests.support.clients import need
from tests.support.paths import ROOT

DIST = ROOT / "dist"

pytestmark = pytest.mark.skipif(not (DIST / "SHA256SUMS").exists(), reason="nothing is built: make dist")

PROGRAM = """
import sys
from conexiones import Client
with Client(sys.argv[1]) as client:
    image = client.upload(sys.argv[2])
    print(image.format, image.width, len(client.download(image.id)))
"""

NODE = """
const client = new Client(process.argv[2]);
const image = await client.upload(process.argv[3]);
console.log(image.format, image.width, (await client.download(image.id)).length);
client.close();
"""

TYPES = """
import { Client, type Image } from "conexiones";
export async function width(client: Client, path: string): Promise<number> {
  const image: Image = await client.upload(path);
  return image.width;
}
"""


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """What a program prints. It sees neither this environment nor the sources."""
    passed = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CONEXIONES_"))
    }
    done = subprocess.run(command, cwd=cwd, env=passed | environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(pattern: str) -> Path:
    (found,) = DIST.glob(pattern)
    return found


def test_the_same_commit_gives_the_same_bytes(tmp_path: Path) -> None:
    run(sys.executable, ROOT / "tools" / "dist.py", tmp_path / "dist", cwd=ROOT)
    sums = (tmp_path / "dist" / "SHA256SUMS").read_text()
    assert sums == (DIST / "SHA256SUMS").read_text()
    for line in sums.splitlines():
        digest, name = line.split()
        assert hashlib.sha256((DIST / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("kind", ["*.whl", "*[0-9].tar.gz"])
def test_python(kind: str, tmp_path: Path, shared: Server, photograph: bytes) -> None:
    """The SDK and the command line from the wheel and from the sdist, with none of the extras."""
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pins = re.findall(r"^\S+==\S+", (ROOT / "requirements" / "server.txt").read_text(), re.MULTILINE)
    (tmp_path / "pins.txt").write_text("\n".join(pins))
    pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--constraint", "pins.txt")
    run(*pip, built(kind), cwd=tmp_path)
    (tmp_path / "a.jpg").write_bytes(photograph)
    said = run(python, "-c", PROGRAM, shared.address, "a.jpg", cwd=tmp_path)
    assert said.split() == ["JPEG", "1280", str(len(photograph))]
    version = run(tmp_path / "venv" / "bin" / "conexiones", "--version", cwd=tmp_path).split()[-1]
    assert version in built(kind).name


def test_the_server(tmp_path: Path, photograph: bytes) -> None:
    """With the packages that are pinned for it."""
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "-r", ROOT / "requirements" / "server.txt", cwd=tmp_path)
    run(*pip, "--no-deps", built("*.whl"), cwd=tmp_path)
    (tmp_path / "a.jpg").write_bytes(photograph)
    program = """
from conexiones.testing import serve
with serve() as server, server.client() as client:
    image = client.upload("a.jpg")
    assert client.process_image(open("a.jpg", "rb").read()).image.width == 1280
    print(image.width)
"""
    assert run(python, "-c", program, cwd=tmp_path) == "1280\n"


def test_node(tmp_path: Path, shared: Server, photograph: bytes) -> None:
    """The package as an ES module, as CommonJS, and its types."""
    npm = need("npm", "make test sets it up")
    (tmp_path / "package.json").write_text('{"private": true}')
    run(npm, "install", "--silent", "--no-audit", "--no-fund", built("conexiones-*.tgz"), cwd=tmp_path)
    (tmp_path / "a.jpg").write_bytes(photograph)
    (tmp_path / "module.mjs").write_text(f'import {{ Client }} from "conexiones";{NODE}')
    (tmp_path / "common.cjs").write_text(
        f'const {{ Client }} = require("conexiones");\n(async () => {{{NODE}}})();'
    )
    for name in ("module.mjs", "common.cjs"):
        said = run("node", name, shared.address, "a.jpg", cwd=tmp_path)
        assert said.split() == ["JPEG", "1280", str(len(photograph))]
    (tmp_path / "types.mts").write_text(TYPES)
    tsc = ROOT / "node" / "node_modules" / ".bin" / "tsc"
    how = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--skipLibCheck", "false"]
    roots = ["--typeRoots", str(ROOT / "node" / "node_modules" / "@types"), "--types", "node"]
    run(tsc, *how, *roots, "types.mts", cwd=tmp_path)


@pytest.mark.parametrize(("bill", "names"), [("python", {"grpcio", "pyvoy"}), ("node", {"@grpc/grpc-js"})])
def test_bills_of_materials(bill: str, names: set[str]) -> None:
    found = json.loads((DIST / f"conexiones-{bill}.cdx.json").read_text())
    parts = {"/".join(filter(None, (part.get("group"), part["name"]))): part for part in found["components"]}
    assert names <= parts.keys()
    assert all(part["version"] and part["purl"] for part in parts.values())
    assert "pytest" not in parts
    assert "typescript" not in parts
