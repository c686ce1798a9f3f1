"""Builds what is released into dist/: the wheel and the sdist, Node's package, their bills of materials
(CycloneDX), and the SHA-256 of all. The same commit gives the same bytes.

python tools/dist.py [FOLDER]

`make dist` prepares what this needs: build/release, an environment with requirements/release.txt, and Node's
packages.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SUMS = "SHA256SUMS"
TOOLS = ROOT / "build" / "release" / "bin"


def commit_time() -> int:
    """The time of the commit, as everything in the files has it."""
    said = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, check=True)
    return int(said.stdout)


def python(folder: Path, environ: dict[str, str]) -> None:
    build = [TOOLS / "python", "-m", "hatchling", "build", "--directory", folder]
    with commit_noted():
        subprocess.run(build, cwd=ROOT, env=environ, check=True)
    bill = folder / "conexiones-python.cdx.json"
    pins = ["requirements", "requirements/server.txt", "--pyproject", "pyproject.toml"]
    how = ["--output-reproducible", "--mc-type", "application", "--output-file", bill]
    subprocess.run([TOOLS / "cyclonedx-py", *pins, *how], cwd=ROOT, env=environ, check=True)
    settle(bill, environ)


@contextmanager
def commit_noted() -> Iterator[None]:
    """Has src/conexiones/commit.py know the commit, as long as the packages are built."""
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=True, text=True)
    note = ROOT / "src" / "conexiones" / "commit.txt"
    note.write_text(said.stdout)
    try:
        yield
    finally:
        note.unlink()


def node(folder: Path, environ: dict[str, str]) -> None:
    """In a copy, whose `files` are those of the repository and no others."""
    there = folder / "node"
    shutil.copytree(ROOT / "node", there, ignore=shutil.ignore_patterns("node_modules", "dist", "*.tgz"))
    (there / "node_modules").symlink_to(ROOT / "node" / "node_modules")
    shutil.copy(ROOT / "LICENSE", there)
    npm: dict[str, Any] = {"cwd": there, "env": environ, "check": True}
    subprocess.run(["node_modules/.bin/tsc"], **npm)
    subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", folder], **npm, stdout=subprocess.DEVNULL
    )
    (there / "node_modules").unlink()
    bill = folder / "conexiones-node.cdx.json"
    said = subprocess.run(
        ["npm", "sbom", "--sbom-format=cyclonedx", "--package-lock-only", "--omit=dev"],
        **npm,
        capture_output=True,
    )
    bill.write_bytes(said.stdout)
    settle(bill, environ)
    shutil.rmtree(there)


def settle(bill: Path, environ: dict[str, str]) -> None:
    """Takes what differs from run to run out of a bill of materials."""
    found = json.loads(bill.read_text())
    time = datetime.fromtimestamp(int(environ["SOURCE_DATE_EPOCH"]), UTC)
    found["metadata"]["timestamp"] = time.isoformat().replace("+00:00", "Z")
    found.pop("serialNumber", None)
    text = json.dumps(found, indent=2, sort_keys=True)
    found["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, text)}"
    bill.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


def main() -> int:
    folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "dist"
    if len(sys.argv) > 1 and folder.exists() and not (folder / SUMS).exists() and any(folder.iterdir()):
        sys.exit(f"{folder} is not empty, and was not made by this: give another folder.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(commit_time())}
    python(folder, environ)
    node(folder, environ)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / SUMS).write_text("".join(sums))
    print("".join(sums), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
