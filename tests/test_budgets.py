"""The budgets that follow from the memory, and the settings that fit it."""

from itertools import pairwise

import pytest

from conexiones.budgets import LEAST, MIB, Budgets, DoesNotFit, decoders, fitted
from conexiones.settings import Settings, SettingsError

SIZES = [LEAST, 512 * MIB, 1024 * MIB, 2048 * MIB, 16384 * MIB]


@pytest.mark.parametrize("memory", SIZES)
def test_what_is_given_out_fits_the_memory(memory: int) -> None:
    settings = Settings.load({}, {"memory": str(memory)})
    budgets = Budgets.of(memory=memory, max_calls=settings.max_calls)
    given = (
        settings.message_budget
        + budgets.uploads
        + budgets.replies
        + budgets.hot
        + settings.max_calls * 2 * budgets.window
        + settings.decode_memory * settings.decode_workers
    )
    assert given < memory - 150 * MIB
    assert settings.message_budget >= 3 * settings.max_message_bytes
    assert budgets.piece <= budgets.window


def test_more_memory_never_makes_anything_smaller() -> None:
    loaded = [Settings.load({}, {"memory": str(memory)}) for memory in SIZES]
    for less, more in pairwise(loaded):
        for name in ("max_message_bytes", "message_budget", "max_calls", "max_connections", "decode_workers"):
            assert getattr(less, name) <= getattr(more, name), name


def test_what_the_operator_has_chosen_stays() -> None:
    chosen = {"memory": "1GiB", "max_message_bytes": "64MiB", "max_calls": "300"}
    settings = Settings.load({}, chosen)
    assert (settings.max_message_bytes, settings.max_calls) == (64 * MIB, 300)
    assert settings.message_budget >= 3 * 64 * MIB
    # The application, in another process, gets the same.
    assert Settings.load(settings.environ()) == settings


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"memory": "100MiB"}, r"--memory must be at least 384MiB, not 100MiB\."),
        (
            {"memory": "512MiB", "decode_memory": "1GiB"},
            r"--memory must be at least \d+MiB .*--decode-memory\.",
        ),
        (
            {"memory": "512MiB", "max_message_bytes": "64MiB", "max_calls": "1000"},
            r"--memory must be at least \d+MiB .*--max-message-bytes, --max-calls\.",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(chosen: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=f"^{sentence}$"):
        Settings.load({}, chosen)


def test_the_memory_that_is_named_is_enough() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({}, {"memory": "512MiB", "decode_memory": "300MiB"})
    needed = str(caught.value).split("at least ")[1].split(" ")[0]
    settings = Settings.load({}, {"memory": needed, "decode_memory": "300MiB"})
    assert settings.decode_memory == 300 * MIB


def test_a_small_server_has_no_decoder_for_the_background() -> None:
    small, large = (
        fitted({**_of(Settings.load({}, {"memory": "16GiB"})), "memory": memory}, ())
        for memory in (512 * MIB, 4096 * MIB)
    )
    assert decoders(small) == 1
    assert decoders(large) == 3


def test_fitting_needs_the_least_memory() -> None:
    with pytest.raises(DoesNotFit):
        fitted({"memory": LEAST - 1}, ())


def _of(settings: Settings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in Settings.__slots__}
