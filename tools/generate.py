"""Generates src/conexiones/gen from proto/, using only grpc_tools.

python tools/generate.py           writes the code
python tools/generate.py --check   prints which files are out of date, and exits with status 1 if any is
"""

import filecmp
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GEN = ROOT / "src" / "conexiones" / "gen"


def generate(out: Path) -> None:
    """Generates into the folder `out` what belongs into GEN."""
    well_known = Path(sysconfig.get_path("purelib")) / "grpc_tools" / "_proto"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{PROTO}",
            f"-I{well_known}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            f"--grpc_python_out={out}",
            *(str(path.relative_to(PROTO)) for path in sorted(PROTO.rglob("*.proto"))),
        ],
        check=True,
    )
    for path in out.rglob("*.py*"):
        text = path.read_text()
        if path.name.endswith("_pb2_grpc.py") and "class " not in text:
            path.unlink()  # the .proto file has no service
            continue
        # protoc's imports expect the modules at the top level. Here they live below conexiones.gen, so that
        # they do not collide with other modules of these names.
        text = re.sub(r"^import (\w+_pb2)", r"from conexiones.gen import \1", text, flags=re.M)
        text = re.sub(r"^from conexiones\.v1 ", "from conexiones.gen.conexiones.v1 ", text, flags=re.M)
        path.write_text(text)
    for folder in [out, *(path for path in out.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text('"""Generated from proto/ by `make generate`."""\n')


def differences(one: Path, other: Path) -> list[str]:
    """The files that differ between two trees, or are in only one of them."""
    names = {
        path.relative_to(tree)
        for tree in (one, other)
        for path in tree.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return sorted(
        str(name)
        for name in names
        if not (one / name).is_file()
        or not (other / name).is_file()
        or not filecmp.cmp(one / name, other / name, shallow=False)
    )


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if "--check" in sys.argv:
            stale = differences(fresh, GEN)
            if stale:
                print("Generated code is out of date; run `make generate`:", *stale, sep="\n  ")
            return bool(stale)
        shutil.rmtree(GEN, ignore_errors=True)
        shutil.copytree(fresh, GEN)
    return 0


if __name__ == "__main__":
    sys.exit(main())
