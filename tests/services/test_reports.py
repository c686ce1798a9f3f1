"""What WatchImages replies to news, for any number of events in a reply."""

import pytest

from conexiones.domain.news import BATCH, Event, News
from conexiones.gen.conexiones.v1.images_pb2 import WatchImagesResponse
from conexiones.ports.records import EventRecord
from conexiones.principals import EVERYBODY
from conexiones.services.payload import Shared
from conexiones.services.reports import Reports


def news(count: int) -> News:
    records = [
        EventRecord(sequence=number + 1, kind="DELETED", image_id=str(number), user=None, time=1)
        for number in range(count)
    ]
    return News(0, count, tuple(Event(record, None, None) for record in records))


@pytest.mark.parametrize("count", [1, 2, 5, BATCH])
def test_each_event_comes_once_in_replies_that_all_share(count: int) -> None:
    reports, some = Reports(), news(count)
    made: set[int] = set()
    for most in range(1, 2 * BATCH):
        replies = list(reports.replies(some, most, by=EVERYBODY))
        found = []
        for reply in replies:
            assert isinstance(reply, Shared)
            made.add(id(reply))
            data = reply.encoded("wire", lambda message: message.SerializeToString())
            events = WatchImagesResponse.FromString(data).events.events
            assert 1 <= len(events) <= most
            found += [event.deleted_id for event in events]
        assert found == [str(number) for number in range(count)]
    # However many numbers are asked for, there are replies of few sizes: all, and the powers of two below.
    assert len(made) <= 2 * count + BATCH.bit_length()
