"""Whose fault a failed call is, as the log has it."""

import logging

import pytest

from conexiones import errors
from conexiones.seldom import LINES_AT_ONCE
from conexiones.transport.chain.call import Call
from conexiones.transport.chain.log import Log
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
        await Log()(call(Client()), fails)
    (record,) = (one for one in caplog.records if one.name == "conexiones.rpc")
    assert record.levelno == level
    defect = not isinstance(raised, errors.ConexionesError) or isinstance(raised, errors.Internal)
    assert bool(record.exc_info) == (level == logging.ERROR and defect), (
        "frames say nothing of what is not the program's fault"
    )


async def test_what_the_storage_says_is_one_line_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(call: Call) -> None:
        try:
            raise OSError(116, "DATA has gone\nwhile the server was using it")
        except OSError as cause:
            raise errors.StorageUnavailable from cause

    with pytest.raises(errors.StorageUnavailable):
        await Log()(call(Client()), fails)
    (record,) = caplog.records
    assert record.exc_info is None
    assert record.message.endswith(
        ": STORAGE_UNAVAILABLE: OSError: [Errno 116] DATA has gone while the server was using it"
    )


async def test_damage_is_one_line_that_says_what_is_damaged(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(call: Call) -> None:
        try:
            raise OSError(5, "Input/output error")
        except OSError as cause:
            error = errors.BlobCorrupt()
            error.add_note("The row of the image 7 is damaged.")
            raise error from cause

    with pytest.raises(errors.BlobCorrupt):
        await Log()(call(Client()), fails)
    (record,) = caplog.records
    assert record.exc_info is None
    assert record.message.endswith(
        ": BLOB_CORRUPT: The row of the image 7 is damaged. OSError: [Errno 5] Input/output error"
    )


@pytest.mark.parametrize("fault", [errors.BlobCorrupt, errors.StorageFull, RuntimeError])
async def test_a_fault_that_many_meet_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    now = 0.0
    monkeypatch.setattr("conexiones.seldom.time.monotonic", lambda: now)
    log = Log()

    async def meet(one: Exception, times: int) -> int:
        async def fails(call: Call) -> None:
            raise one

        before = len(caplog.records)
        for _ in range(times):
            with pytest.raises(errors.ConexionesError):
                await log(call(Client()), fails)
        return len(caplog.records) - before

    assert await meet(fault(), int(LINES_AT_ONCE) + 50) == LINES_AT_ONCE
    assert await meet(errors.StorageUnavailable(), 1) == 1, "others are logged all the same"
    now += 1
    assert await meet(fault(), 2) == 1
    assert "(50 others are left out)" in caplog.messages[-1]
