"""Threads whose clients take turns."""

import threading
from concurrent.futures import wait

import pytest

from conexiones.adapters.system.fair_threads import FairThreads
from conexiones.shares import Caller
from tests.support.waiting import DEADLINE

ANA, BEA = Caller("ana", "1"), Caller("bea", "1")


@pytest.fixture
def threads():
    made = FairThreads(1, name="test")
    yield made
    made.shutdown()


def test_clients_take_turns_and_the_jobs_of_one_keep_their_order(threads: FairThreads) -> None:
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        begun.set()
        assert go_on.wait(DEADLINE)

    jobs = [threads.submit(ANA, first)]
    assert begun.wait(DEADLINE)
    jobs += [threads.submit(ANA, order.append, f"ana {number}") for number in range(3)]
    jobs += [threads.submit(BEA, order.append, f"bea {number}") for number in range(2)]
    go_on.set()
    wait(jobs, DEADLINE)
    assert order == ["ana 0", "bea 0", "ana 1", "bea 1", "ana 2"]


def test_what_a_job_gives_and_what_it_raises(threads: FairThreads) -> None:
    assert threads.submit(ANA, pow, 2, exp=5).result(DEADLINE) == 32
    with pytest.raises(ZeroDivisionError):
        threads.submit(ANA, lambda: 1 // 0).result(DEADLINE)
    assert threads.submit(BEA, len, "abc").result(DEADLINE) == 3


def test_a_job_that_was_cancelled_is_not_done(threads: FairThreads) -> None:
    go_on = threading.Event()
    done: list[int] = []
    first = threads.submit(ANA, go_on.wait, DEADLINE)
    second, third = threads.submit(ANA, done.append, 2), threads.submit(ANA, done.append, 3)
    assert second.cancel()
    go_on.set()
    assert first.result(DEADLINE)
    third.result(DEADLINE)
    assert done == [3]


def test_a_shutdown_waits_for_all() -> None:
    threads = FairThreads(2, name="test")
    done: list[int] = []
    for number in range(20):
        threads.submit(ANA, done.append, number)
    threads.shutdown()
    assert sorted(done) == list(range(20))
    with pytest.raises(RuntimeError):
        threads.submit(ANA, done.append, 20)
