"""The diagrams of docs/learn are what is recorded now."""

import importlib.util
import sys
from types import ModuleType

import pytest

from conexiones.testing import Server
from tests.support.paths import ROOT


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wire_diagrams", ROOT / "tools" / "wire_diagrams.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_the_diagrams_are_those_of_real_calls(shared: Server, tool: ModuleType) -> None:
    drawn = tool.pages(shared.address)
    there = {path.name: path.read_text() for path in (ROOT / "docs" / "learn" / "diagrams").glob("*.svg")}
    assert drawn == there, "python tools/wire_diagrams.py draws them anew"
