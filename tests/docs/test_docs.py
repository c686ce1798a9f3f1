"""The documents list exactly the settings, commands, fields and calls that exist."""

import re
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pool

from conexiones.gen import user_pb2
from conexiones.gen.conexiones.v1 import images_pb2, uploads_pb2
from conexiones.settings import Settings, SettingsError, flag, table, variable
from tests.support.paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "README.es.md", *sorted((ROOT / "docs").rglob("*.md"))]

OPTION = re.compile(r"(?<![\w-])--[a-z]+(?:-[a-z]+)+")
"""One of more than one word, which no arrow or rule is."""

VARIABLE = re.compile(r"\bCONEXIONES_[A-Z_]+")

OF_OTHER_PROGRAMS = {
    "--cap-drop",
    "--data-binary",
    "--auth-host",
    "--config-path",
    "--data-checksums",
    "--disable-hot-restart",
    "--enable-shared",
    "--endpoint-url",
    "--exit-on-error",
    "--fail-with-body",
    "--grpc-web",
    "--kill-whom",
    "--no-ensure-ascii",
    "--no-owner",
    "--no-recreate",
    "--read-only",
    "--retry-connrefused",
    "--security-opt",
    "--unix-socket",
}


def test_what_is_made_from_code_is_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    for row in table():
        assert f"| `{flag(row)}` | `{variable(row)}` |" in page
        assert row.metadata["says"].endswith(".")


def test_every_option_that_is_named_exists() -> None:
    variables = {variable(row) for row in table()} | {"CONEXIONES_APT", "CONEXIONES_IMAGE"}
    reference = (ROOT / "docs" / "cli.md").read_text()
    options = {flag(row) for row in table()} | set(OPTION.findall(reference)) | OF_OTHER_PROGRAMS
    variables |= set(VARIABLE.findall(reference))
    for path in [*PAGES, *(path for path in (ROOT / "deploy").rglob("*") if path.is_file())]:
        assert set(OPTION.findall(path.read_text())) <= options, path
        assert set(VARIABLE.findall(path.read_text())) <= variables, path


def test_every_call_is_documented() -> None:
    page = (ROOT / "docs" / "calls.md").read_text()
    for method in descriptor_pool.Default().FindServiceByName("user.UsuarioServicio").methods:
        assert f"## {method.name}\n" in page
    fields = {
        field.name
        for message in user_pb2.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
    }
    for field in fields:
        assert f"`{field}`" in page, f"the field {field} is not documented"


def test_every_call_of_the_second_api_has_a_guide() -> None:
    page = (ROOT / "docs" / "access.md").read_text() + (ROOT / "docs" / "uploads.md").read_text()
    for service in (uploads_pb2.DESCRIPTOR, images_pb2.DESCRIPTOR):
        for method in next(iter(service.services_by_name.values())).methods:
            assert f"**{method.name}**" in page or f"{method.name}" in page.split("## Images")[0]


def test_no_registry_and_no_path_of_a_machine_is_named() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    hosts = "|".join(["pypi" + r"\.org", "npmjs" + r"\.(org|com)", "files\\.python" + "hosted"])
    for name in files.splitlines():
        path = ROOT / name
        if path.suffix in {".jpg", ".png"} or not path.is_file():
            continue
        text = path.read_text(errors="replace")
        assert not re.search(hosts, text), f"{name} names a registry"
        assert "/work/" + "main" not in text, f"{name} names a machine's path"
        assert "/root/" + "." not in text, f"{name} names a machine's path"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_message_bytes", "65536", 65536),
        ("max_message_bytes", "64MiB", 64 << 20),
        ("max_image_bytes", "2 gb", 2 * 10**9),
        ("max_pixels", "1_000", 1000),
        ("grace_seconds", "0.5", 0.5),
        ("cors_origins", "http://a, http://b", ("http://a", "http://b")),
        ("reflection", "no", False),
        ("log_level", "DEBUG", "debug"),
    ],
)
def test_settings_are_read(name: str, text: str, value: object) -> None:
    settings = Settings.load({f"CONEXIONES_{name.upper()}": text})
    assert getattr(settings, name) == value
    assert Settings.load({}, {name: text}) == settings
    # A flag takes precedence.
    assert getattr(Settings.load({f"CONEXIONES_{name.upper()}": "nonsense"}, {name: text}), name) == value
    # The environment that the supervisor hands to the application has the same settings.
    assert Settings.load(settings.environ()) == settings


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_message_bytes", "0"),
        ("max_message_bytes", "64 parsecs"),
        ("max_pixels", "-1"),
        ("max_pixels", "1.5"),
        ("grace_seconds", "soon"),
        ("grace_seconds", "nan"),
        ("reflection", "maybe"),
        ("log_level", "loud"),
    ],
)
def test_what_no_setting_can_be_is_said_in_one_sentence(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^CONEXIONES_{name.upper()} takes .*, not '{text}'\.$"):
        Settings.load({f"CONEXIONES_{name.upper()}": text})


def test_the_defaults_are_those_of_the_table() -> None:
    settings = Settings.load({}, {"memory": "16GiB"})  # with so much memory, none has to be less
    for row in table():
        if row.name == "memory":
            continue
        text = row.metadata["text"]
        assert getattr(settings, row.name) == (row.metadata["read"](text) if text else row.default)
