"""docs/codegen.md: every command that it shows is run, in order, and what comes of it calls a server.

The commands are run by `make foreign`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conexiones.testing import Server
from tests.support.chromium import browse, served
from tests.support.clients import node
from tests.support.paths import ROOT, WEB

TEXT = (ROOT / "docs" / "codegen.md").read_text()
GREETING = "¡Hola, Zoé! Tu pow es 3 y su cuadrado es 9."
SECONDS = 120


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    blocks: tuple[tuple[str, str], ...]  # language and text

    def follow(self, folder: Path, environ: dict[str, str]) -> str:
        """Writes its files and runs its commands in order. Gives the output of its programs."""
        shutil.copytree(ROOT / "proto", folder / "proto")
        printed = ""
        for language, text in self.blocks:
            if language == "bash":
                ran = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", text],
                    cwd=folder,
                    env=environ,
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                    timeout=SECONDS,
                )
                printed += ran.stdout
            else:
                name = re.match(r"(?://|#|<!--) (\S+)", text)
                assert name, f"the first line of a file names it: {text}"
                (folder / name[1]).write_text(text)
        return printed


def sections() -> list[Section]:
    found = []
    for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", part, flags=re.MULTILINE | re.DOTALL)
        found.append(Section(part.partition("\n")[0], tuple(blocks)))
    return found


@pytest.mark.skipif("CONEXIONES_FOREIGN" not in os.environ, reason="a part of make foreign")
@pytest.mark.parametrize("section", sections(), ids=lambda section: section.title)
def test_the_commands(start: Callable[..., Server], section: Section, tmp_path: Path) -> None:
    if any("npm " in text for _, text in section.blocks):
        node()
    with served(tmp_path) as origin:
        server = start(cors_origins=origin)
        environ = {
            **os.environ,
            "CONEXIONES_ADDRESS": server.address,
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "npm_config_prefer_offline": "true",
            "npm_config_loglevel": "error",
        }
        printed = section.follow(tmp_path, environ)
        if (tmp_path / "index.html").exists():
            [found] = browse({"url": f"{origin}/?server=http://{server.address}"})
            printed += found["shown"]
    assert GREETING in printed


def test_nothing_is_left_out() -> None:
    assert len(sections()) == len(re.findall(r"^## ", TEXT, flags=re.MULTILINE)) == 5
    # Every code block is in a section, and so is run.
    assert TEXT.count("\n```") == 2 * sum(len(section.blocks) for section in sections())
    for section in sections():
        assert any(language == "bash" for language, _ in section.blocks), section.title


def test_versions_are_those_that_are_tested() -> None:
    pinned = json.loads((WEB / "package.json").read_text())["dependencies"]
    shown = re.findall(r"(\S+)@(\d\S*)", "\n".join(re.findall(r"npm install (.*)", TEXT)))
    assert shown
    assert dict(shown) == {name: pinned[name] for name, _ in shown}


def test_commands_generate_all_that_is_imported() -> None:
    commands = re.findall(r"^python -m grpc_tools\.protoc .*", TEXT, flags=re.MULTILINE)
    assert any("conexiones/v1/" in command for command in commands)
    for command in commands:
        named = re.findall(r"\S+\.proto\b", command)
        for name in named:
            text = (ROOT / "proto" / name).read_text()
            imported = re.findall(r'^import "((?!google/)[^"]+)";', text, flags=re.MULTILINE)
            assert set(imported) <= set(named), command


def test_links_lead_somewhere() -> None:
    headings = [re.sub(r"[^\w\- ]", "", section.title.lower()).replace(" ", "-") for section in sections()]
    for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT):
        assert anchor in headings
    for path in re.findall(r"\]\((\.\.[^)]+)\)", TEXT):
        assert (ROOT / "docs" / path).exists()
