"""Who the parent of a call is, and what is recorded of the parts of its work."""

import asyncio
from collections.abc import Iterator

import pytest

from conexiones import errors
from conexiones.tracing import Attributes, Parent, Span, current_span, parent_of, span

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Seen:
    """A Span that notes what happens to it and to its parts."""

    trace_id, span_id = TRACE, SPAN

    def __init__(
        self, name: str = "call", *, recording: bool = True, seen: list[object] | None = None
    ) -> None:
        self.name, self.recording = name, recording
        self.seen: list[object] = [] if seen is None else seen

    def child(self, name: str, attributes: Attributes) -> Span:
        self.seen.append((self.name, name, dict(attributes)))
        return Seen(name, seen=self.seen)

    def set(self, attributes: Attributes) -> None:
        self.seen.append((self.name, dict(attributes)))

    def end(self, problem: str = "", *, failed: bool = False) -> None:
        self.seen.append((self.name, problem, failed))


@pytest.fixture
def call() -> Iterator[Seen]:
    made = Seen()
    token = current_span.set(made)
    yield made
    current_span.reset(token)


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        # A later version may say more, which is not for us.
        (f"01-{TRACE}-{SPAN}-01-more", True),
        (f"fe-{TRACE}-{SPAN}-00", False),
    ],
)
def test_a_caller_names_its_span(header: str, sampled: bool) -> None:
    assert parent_of(header.encode()) == Parent(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"01-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00_{TRACE}_{SPAN}_01",
        f"0-{TRACE}-{SPAN}-01",
    ],
)
def test_a_malformed_header_is_ignored(header: str) -> None:
    assert parent_of(header.encode()) is None
    assert parent_of(None) is None


def test_without_a_span_nothing_is_recorded() -> None:
    with span("stage", size=1) as one:
        one.set(more=2)
        assert current_span.get() is None


def test_parts_are_in_the_part_that_is_open(call: Seen) -> None:
    with span("rendition", format="WEBP"), span("decode") as inner:
        inner.set(pixels=3)
    with span("commit"):
        pass
    assert current_span.get() is call
    assert call.seen == [
        ("call", "rendition", {"format": "WEBP"}),
        ("rendition", "decode", {}),
        ("decode", {"pixels": 3}),
        ("decode", "", False),
        ("rendition", "", False),
        ("call", "commit", {}),
        ("commit", "", False),
    ]


@pytest.mark.parametrize(
    ("error", "problem", "failed"),
    [
        (errors.StorageFull(), "STORAGE_FULL", True),
        (errors.StorageUnavailable(), "STORAGE_UNAVAILABLE", True),
        (errors.NotAnImage(), "NOT_AN_IMAGE", False),
        (ValueError("what somebody wrote"), "ValueError", True),
        (asyncio.CancelledError(), "CANCELLED", False),
    ],
)
def test_an_error_is_the_end_without_its_text(
    call: Seen, error: BaseException, problem: str, failed: bool
) -> None:
    with pytest.raises(type(error)), span("commit"):
        raise error
    assert call.seen[-1] == ("commit", problem, failed)
    assert current_span.get() is call


def test_parts_of_what_is_not_recorded_cost_nothing() -> None:
    call = Seen(recording=False)
    token = current_span.set(call)
    try:
        with span("stage"):
            assert current_span.get() is call
    finally:
        current_span.reset(token)
    assert call.seen == []


async def test_tasks_are_in_the_part_that_began_them(call: Seen) -> None:
    async def work() -> None:
        with span("decode"):
            pass

    with span("facts"):
        task = asyncio.create_task(work())
    await task
    assert ("facts", "decode", {}) in call.seen
