"""The instruments that the server counts and measures with."""

from functools import partial

import pytest

from conexiones.metrics import MOST_SERIES, OVERFLOW, Distribution, Metrics, Numbers


def test_what_was_counted_is_read_by_name_and_labels() -> None:
    metrics = Metrics()
    calls = metrics.counters("calls", "{call}", "Calls.", ("method", "outcome"))
    calls.of("GetUser", "OK").value += 2
    calls.of("GetUser", "NOT_FOUND").value += 1
    calls.of("GetUser", "OK").value += 1
    metrics.counter("bytes", "By", "Bytes.").value += 10
    first, second = metrics.read()
    assert isinstance(first, Numbers)
    assert isinstance(second, Numbers)
    assert (first.instrument.name, first.series) == ("bytes", {(): 10})
    assert second.series == {("GetUser", "OK"): 3, ("GetUser", "NOT_FOUND"): 1}
    assert second.kind == "counter"


def test_a_value_counts_in_the_bucket_whose_bound_it_does_not_pass() -> None:
    metrics = Metrics()
    times = metrics.histogram("times", "s", "Times.", bounds=(1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 7.0):
        times.record(value)
    (read,) = metrics.read()
    assert isinstance(read, Distribution)
    assert read.series == {(): ((2, 2, 1), 12.0)}


def test_what_others_count_is_read_when_somebody_looks() -> None:
    metrics, queue = Metrics(), [1]
    metrics.observe("queue", "{call}", "Waiting.", lambda: len(queue))
    metrics.observe("deaths", "{process}", "Deaths.", lambda: {("time",): 3}, ("cause",), kind="counter")
    queue.append(2)
    deaths, waiting = metrics.read()
    assert isinstance(deaths, Numbers)
    assert isinstance(waiting, Numbers)
    assert (deaths.kind, deaths.series) == ("counter", {("time",): 3})
    assert (waiting.kind, waiting.series) == ("gauge", {(): 2})


def test_labels_without_end_cost_no_memory() -> None:
    metrics = Metrics()
    calls = metrics.counters("calls", "{call}", "Calls.", ("path",))
    for number in range(MOST_SERIES + 50):
        calls.of(str(number)).value += 1
    assert len(calls.series) == MOST_SERIES + 1
    assert calls.of(OVERFLOW).value == 50


def test_parts_that_count_the_same_share_the_instrument() -> None:
    metrics = Metrics()
    for pool in ("prompt", "quiet"):
        metrics.counters("deaths", "{process}", "Deaths.", ("pool",)).of(pool).value += 1
        metrics.histogram("times", "s", "Times.").record(1)
        metrics.observe("busy", "{process}", "Busy.", partial(dict, {(pool,): 2}), ("pool",))
    busy, deaths, times = metrics.read()
    assert isinstance(busy, Numbers)
    assert isinstance(deaths, Numbers)
    assert isinstance(times, Distribution)
    assert busy.series == {("prompt",): 2, ("quiet",): 2}
    assert deaths.series == {("prompt",): 1, ("quiet",): 1}
    assert sum(times.series[()][0]) == 2


def test_names_are_given_once_and_labels_fit() -> None:
    metrics = Metrics()
    calls = metrics.counters("calls", "{call}", "Calls.", ("method",))
    with pytest.raises(ValueError, match="two instruments"):
        metrics.histogram("calls", "s", "Times.")
    with pytest.raises(ValueError, match="two instruments"):
        metrics.counters("calls", "{call}", "Calls.", ("path",))
    with pytest.raises(ValueError, match="labels"):
        calls.of("a", "b")
