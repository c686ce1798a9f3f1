"""The house: transport → services → domain → ports ← adapters. Who may import what, and no circles."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.paths import ROOT

SOURCE = ROOT / "src" / "conexiones"

# Of our own modules, what each room may import besides itself and `errors`.
ROOMS: dict[str, set[str]] = {
    "errors": {"codes", "spanish"},
    "codes": set(),
    "spanish": set(),
    "settings": {"budgets", "machine", "setting_values"},
    "setting_values": {"principals"},
    "budgets": set(),
    "machine": set(),
    "image_formats": set(),
    "exif": set(),
    "metrics": set(),
    "tracing": set(),
    "waits": {"metrics"},
    "shares": set(),
    "seldom": set(),
    "whole": set(),
    "principals": {"errors"},
    "watched_files": set(),
    "certificate_rules": {"domain", "principals"},
    "secret_form": set(),
    "local_servers": {"addresses"},
    "ports": {"image_formats", "principals", "shares"},
    "gen": set(),
    "direct_file": set(),
    "private_folder": set(),
    "addresses": set(),
    "domain": {
        "ports",
        "errors",
        "exif",
        "image_formats",
        "metrics",
        "principals",
        "secret_form",
        "shares",
        "tracing",
        "waits",
        "whole",
    },
    "services": {
        "domain",
        "ports",
        "errors",
        "gen",
        "image_formats",
        "principals",
        "shares",
        "tracing",
        "whole",
    },
    "transport": {
        "addresses",
        "local_servers",
        "principals",
        "seldom",
        "private_folder",
        "services",
        "settings",
        "budgets",
        "errors",
        "gen",
        "image_formats",
        "metrics",
        "shares",
        "tracing",
        "waits",
        "watched_files",
    },
    "callers": {"domain", "principals", "settings", "transport"},
    # What app.py puts together of adapters, for a server alone and for several.
    "stores": {"adapters", "errors", "metrics", "ports", "settings"},
    "app": {
        "callers",
        "stores",
        "adapters",
        "domain",
        "services",
        "transport",
        "settings",
        "budgets",
        "errors",
        "metrics",
        "ports",
        "principals",
        "routes",
        "certificate_rules",
        "waits",
        "commit",
        "watched_files",
    },
    # A second program that puts adapters together: what works on a data folder beside the server.
    "upkeep": {"adapters", "domain", "ports", "principals", "secret_form", "whole"},
    "routes": {"services", "transport"},
    "asgi": {"app", "settings", "transport"},
    "cli": {"commands", "certificates", "settings", "transport", "sdk", "errors"},
    "commands": {
        "commit",
        "doctor",
        "sdk",
        "settings",
        "errors",
        "image_formats",
        "local_servers",
        "upkeep",
        "wire",
    },
    "commit": set(),
    "doctor": {
        "addresses",
        "certificate_rules",
        "gen",
        "local_servers",
        "samples",
        "sdk",
        "settings",
        "stores",
        "transport",
        "errors",
    },
    "certificates": set(),
    "sdk": {"addresses", "gen", "errors", "direct_file", "secret_form", "wire"},
    "wire": {"gen"},
    "samples": {"image_formats"},
    "testing": {"local_servers", "samples", "settings", "sdk"},
    "__init__": {"sdk", "errors"},
    "__main__": {"cli", "commands"},
}

# What the catalogs share, and what the stores of blobs do. None knows another.
CATALOG_RULES = {f"adapters.catalog.{name}" for name in ("credential_rows", "division", "folding", "tables")}
BLOB_RULES = {"adapters.blobs.holds"}

# The same of the rooms within rooms. A kind of adapter knows no other kind: what several need is in
# adapters.system and adapters.writer, and app.py gives the rest to each.
ROOMS |= {
    "adapters": set(),
    "adapters.audit": {"adapters.system", "ports"},
    "adapters.telemetry": {"__init__", "metrics", "tracing"},
    "adapters.system": {"local_servers", "metrics", "shares", "whole"},
    "adapters.writer": {"adapters.system", "metrics", "shares", "whole"},
    "adapters.catalog": {"adapters.catalog.credential_rows", "ports", "principals"},
    "adapters.catalog.sqlite": {
        *CATALOG_RULES,
        "adapters.system",
        "adapters.writer",
        "metrics",
        "ports",
        "principals",
        "shares",
        "waits",
        "whole",
    },
    "adapters.catalog.postgres": {
        *CATALOG_RULES,
        "adapters.system",
        "metrics",
        "ports",
        "shares",
        "waits",
        "whole",
    },
    "adapters.blobs": set(),
    "adapters.blobs.local": {
        *BLOB_RULES,
        "adapters.system",
        "adapters.writer",
        "metrics",
        "ports",
        "direct_file",
        "seldom",
        "shares",
        "waits",
        "whole",
    },
    # Its rows are in the database of the catalog, in the same transactions.
    "adapters.blobs.s3": {
        *BLOB_RULES,
        "adapters.catalog.postgres",
        "adapters.system",
        "metrics",
        "ports",
        "private_folder",
        "shares",
        "waits",
        "whole",
    },
    "adapters.decoder": {
        "adapters.system",
        "exif",
        "metrics",
        "ports",
        "image_formats",
        "seldom",
        "shares",
        "tracing",
        "waits",
    },
    "adapters.renditions": {"adapters.system", "metrics", "ports", "shares"},
    "adapters.scrub": {"adapters.system", "ports"},
}
for name in ("process", "chain", "rpc", "http"):
    ROOMS[f"transport.{name}"] = {*ROOMS["transport"], "transport"}
ROOMS["transport.chain"].add("ports")  # for the audit log, which is written where access is decided

# Foreign packages, and the only rooms that may import them.
FOREIGN: dict[str, set[str]] = {
    "pyvoy": {"transport", "testing"},
    "envoy": {"transport", "doctor"},
    "find_libpython": {"transport"},
    "sqlite3": {
        "adapters.catalog.sqlite",
        "adapters.blobs.local",
        "adapters.system",
        "commands",  # for its errors
        "upkeep",  # the same
    },
    "prometheus_client": {"transport.process"},
    "asyncpg": {"adapters.catalog.postgres"},
    "obstore": {"adapters.blobs.s3"},
    "pyvips": {"adapters.decoder", "doctor"},
    "PIL": {"adapters.decoder", "doctor"},
    "pi_heif": {"doctor"},
    "_pi_heif": {"adapters.decoder"},
    "grpc": {"sdk", "gen", "doctor"},
    "grpc_health": {"services", "sdk"},
    "grpc_reflection": {"services"},
    "google": {"services", "transport", "app", "sdk", "gen", "wire"},
    "opentelemetry": {"adapters.telemetry", "sdk"},
    "click": {"cli", "commands"},
    "rich": {"commands"},
    "google_crc32c": {"doctor", "sdk", "domain", "services", "adapters.blobs", "adapters.renditions"},
    "cryptography": {"certificates", "transport.chain"},
    "hpack": {"wire"},
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


@cache
def imports(path: Path) -> tuple[str, ...]:
    """The names that a file imports, with those of their modules."""
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1 or "gen" in path.parts, f"{path}: a relative import that climbs"
            package = module(path.parent) if node.level else ""
            source = ".".join(name for name in (package, node.module) if name)
            yield from (f"{source}.{alias.name}" for alias in node.names)


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    """The innermost room in which a file is."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    names = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return next((name for name in reversed(names) if name in ROOMS), names[0])


def module(path: Path) -> str:
    """The name under which a file is imported."""
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


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
            assert any(own == one or own.startswith(f"{one}.") for one in FOREIGN[top]), (
                f"{path.name} imports {name}"
            )
        elif own in {"domain", "ports"}:
            assert top not in NO_IO or name in {"pathlib.Path"}, f"{path.name} imports {name}"


def test_no_file_is_in_a_circle_of_imports() -> None:
    """Imports for types only count too: a circle that only a type checker sees is still one for readers."""
    files = {module(path): path for path in modules()}
    graph = {}
    for name, path in files.items():
        imported = {one if one in files else one.rpartition(".")[0] for one in imports(path)}
        graph[name] = (imported & files.keys()) - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' ← '.join(error.args[1])}")


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
