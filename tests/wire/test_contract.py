"""The contract that somebody gives."""

from pathlib import Path

import pytest

from conexiones.wire import contract
from conexiones.wire.contract import Contract
from conexiones.wire.events import Undecodable


def test_a_compiler_that_takes_too_long_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.proto"
    path.write_text('syntax = "proto3"; message A {}')
    assert Contract.of(path).message("A").full_name == "A"
    monkeypatch.setattr(contract, "COMPILE_SECONDS", 0.001)
    with pytest.raises(Undecodable, match="protoc was still at it after"):
        Contract.of(path)
