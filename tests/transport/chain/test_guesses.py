"""Whoever guesses is slowed down; what was right before goes on; and it is forgotten in time."""

import pytest

from conexiones.errors import RateExceeded
from conexiones.principals import Principal
from conexiones.transport.chain import guesses
from conexiones.transport.chain.guesses import SECONDS, WRONG, Guesses

KNOWN, FRESH = Principal(subject="a", credential="1"), Principal(subject="b", credential="2")


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def guessed(found: Guesses, client: str) -> int:
    """Guesses until it is slowed down; how many guesses were answered."""
    for number in range(1000):
        try:
            found.wrong(client)
        except RateExceeded:
            return number
    raise AssertionError("nothing slows it down")


def test_guessing_is_slowed_down(clock: Clock) -> None:
    found = Guesses(clock)
    found.right("one", KNOWN)
    assert guessed(found, "one") == WRONG
    found.right("one", KNOWN)
    with pytest.raises(RateExceeded) as error:
        found.right("one", FRESH)  # a guess that hits learns no more than others
    assert error.value.retry_after
    found.right("two", FRESH)  # another address has not guessed
    found.right("one", FRESH)  # and now it is known


def test_it_is_forgotten_in_time(clock: Clock) -> None:
    found = Guesses(clock)
    assert guessed(found, "one") == WRONG
    clock.time += SECONDS / WRONG
    assert guessed(found, "one") == 1
    with pytest.raises(RateExceeded) as error:
        found.right("one", FRESH)
    clock.time += error.value.retry_after or 0.0
    found.right("one", FRESH)
    clock.time += 2 * SECONDS
    assert guessed(found, "one") == WRONG


def test_what_is_remembered_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "_KNOWN", 3)
    monkeypatch.setattr(guesses, "_CLIENTS", 3)
    found = Guesses(clock)
    for number in range(10):
        found.right("one", Principal(subject="a", credential=str(number)))
        found.wrong(f"client {number}")
    assert list(found._known) == ["7", "8", "9"]
    assert list(found._times) == ["client 7", "client 8", "client 9"]
