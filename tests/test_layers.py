"""The house: transport → services → domain → ports ← adapters. Who may import what."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SOURCE = ROOT / "src" / "conexiones"

# Of our own modules, what each room may import besides itself. `errors` and `gen` are stated too.
ROOMS: dict[str, set[str]] = {
    "errors": {"spanish"},
    "spanish": set(),
    "settings": set(),
    "image_formats": set(),
    "ports": {"image_formats"},
    "gen": set(),
    "direct_file": set(),
    "domain": {"ports", "errors", "image_formats"},
    "adapters": {"ports", "errors", "domain.formats", "direct_file", "image_formats"},
    "services": {"domain", "ports", "errors", "gen", "image_formats"},
    "transport": {"services", "settings", "errors", "gen", "image_formats"},
    "app": {"adapters", "domain", "services", "transport", "settings", "errors", "ports", "routes"},
    "routes": {"services", "transport"},
    "asgi": {"app", "settings", "transport"},
    "cli": {"commands", "certificates", "settings", "transport", "sdk", "errors"},
    "commands": {"doctor", "sdk", "settings", "errors", "image_formats"},
    "doctor": {"samples", "sdk", "settings", "transport", "errors"},
    "certificates": set(),
    "sdk": {"gen", "errors", "direct_file"},
    "samples": {"image_formats"},
    "testing": {"samples", "settings", "sdk"},
    "__init__": {"sdk", "errors"},
    "__main__": {"cli"},
}

# Foreign packages, and the only rooms that may import them.
FOREIGN: dict[str, set[str]] = {
    "pyvoy": {"transport", "testing"},
    "envoy": {"transport", "doctor"},
    "find_libpython": {"transport"},
    "sqlite3": {"adapters"},
    "pyvips": {"adapters", "doctor"},
    "PIL": {"adapters", "doctor"},
    "grpc": {"sdk", "gen", "doctor"},
    "grpc_health": {"services"},
    "grpc_reflection": {"services"},
    "google": {"services", "transport", "app", "sdk", "gen"},
    "click": {"cli", "commands"},
    "rich": {"commands"},
    "google_crc32c": {"doctor", "sdk", "domain", "adapters", "services"},
    "cryptography": {"certificates"},
}

# The domain is rules: what reads, writes, connects or waits for a clock is for adapters.
NO_IO = {
    "os",
    "io",
    "pathlib",
    "socket",
    "subprocess",
    "concurrent",
    "shutil",
    "tempfile",
    "http",
    "logging",
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1 or "gen" in path.parts, f"{path}: a relative import that climbs"
            if node.level == 0 and node.module:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    own = room(path)
    assert own in ROOMS, f"{own} is a new room: say here what it may import"
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "conexiones":
            if not rest or rest.startswith("__version__"):
                continue
            allowed = ROOMS[own] | {own, "errors"}
            assert any(rest == one or rest.startswith(f"{one}.") for one in allowed) or (
                # `from conexiones import errors`
                rest in allowed
            ), f"{path.name} imports {name}"
        elif top in FOREIGN:
            assert own in FOREIGN[top], f"{path.name} imports {name}"
        elif own in {"domain", "ports"}:
            assert top not in NO_IO or name in {"pathlib.Path"}, f"{path.name} imports {name}"


def test_no_file_grows_beyond_reading() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for folder in ("src", "client", "server", "tests", "tools", "bench")
        for path in (ROOT / folder).rglob("*.py")
        if "gen" not in path.parts and "node_modules" not in path.parts
        if (count := len(path.read_text().splitlines())) > 500
    }
    assert long == {}


def test_paths_never_depend_on_the_current_folder() -> None:
    for path in modules():
        text = path.read_text()
        for forbidden in ("os.getcwd", "Path.cwd", "os.path.", "os.chdir"):
            assert forbidden not in text, f"{path.name} uses {forbidden}"
