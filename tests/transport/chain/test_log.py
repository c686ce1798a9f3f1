"""Whose fault a failed call is, as the log has it."""

import logging

import pytest

from conexiones import errors
from conexiones.transport.chain.call import Call
from conexiones.transport.chain.log import log
from tests.transport.chain.calls import Client, call


@pytest.mark.parametrize(
    ("raised", "level"),
    [
        (RuntimeError("a defect"), logging.ERROR),
        (SystemExit("from a library"), logging.ERROR),
        (errors.Internal(), logging.ERROR),
        (errors.BlobCorrupt(), logging.ERROR),
        (errors.StorageFull(), logging.ERROR),
        (errors.StorageUnavailable(), logging.ERROR),
        (errors.ChecksumMismatch(algorithm="CRC-32C", expected="0", actual="1"), logging.DEBUG),
        (errors.UndeclaredCompression(), logging.DEBUG),
        (errors.EmptyName(limit=256), logging.DEBUG),
        (errors.ServerDraining(), logging.DEBUG),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_faults_of_the_server_are_errors(
    raised: BaseException, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(call: Call) -> None:
        raise raised

    expected = type(raised) if isinstance(raised, errors.ConexionesError) else errors.Internal
    with caplog.at_level(logging.DEBUG), pytest.raises(expected):
        await log(call(Client()), fails)
    (record,) = (one for one in caplog.records if one.name == "conexiones.rpc")
    assert record.levelno == level
    assert bool(record.exc_info) == (level == logging.ERROR)
