"""What WatchImages replies to news: made once for all watchers who hear the same."""

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from conexiones.domain.news import Event, News
from conexiones.gen.conexiones.v1.images_pb2 import Event as EventMessage
from conexiones.gen.conexiones.v1.images_pb2 import Events, Heartbeat, Resync, WatchImagesResponse
from conexiones.principals import Principal
from conexiones.services.messages import image_message
from conexiones.services.payload import Shared


class Reports:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        # By the news, then by what makes replies differ. They are there for as long as anybody has the news.
        self._made: WeakKeyDictionary[News, dict[tuple[bool, int], list[Shared]]] = WeakKeyDictionary()

    def replies(self, news: News, most: int, *, by: Principal) -> Iterable[WatchImagesResponse | Shared]:
        """The replies to a caller who asked for at most `most` events in one; for 0, each in the field of its
        kind."""
        if news.kind == "HEARTBEAT":
            return [WatchImagesResponse(resume_token=news.token, heartbeat=Heartbeat())]
        if news.kind == "RESYNC":
            return [WatchImagesResponse(resume_token=news.token, resync=Resync())]
        events = news.events
        size = len(events) if most >= len(events) else _power_of_two(most)
        made = self._made.setdefault(news, {})
        kind = (by.knows_owners, size if most else 0)
        if kind not in made:
            messages = (
                [_together(events[start : start + size], by) for start in range(0, len(events), size)]
                if most
                else [_alone(event, by) for event in events]
            )
            made[kind] = [Shared(message) for message in messages]
        return made[kind]


def _power_of_two(most: int) -> int:
    """The greatest one that is not above `most`; 0 for 0. So replies of few sizes do for all watchers,
    whatever numbers they ask for: without that, each would cost a hundred times as much."""
    return 1 << most.bit_length() >> 1


def _alone(event: Event, by: Principal) -> WatchImagesResponse:
    record, image = event.record, event.image
    reply = WatchImagesResponse(resume_token=str(record.sequence))
    if image is None:
        reply.deleted_id = record.image_id
        return reply
    facts = {image.digest: event.facts} if event.facts else {}
    (reply.described if record.kind == "DESCRIBED" else reply.stored).CopyFrom(
        image_message(image, facts, by=by)
    )
    return reply


def _together(events: Iterable[Event], by: Principal) -> WatchImagesResponse:
    alone = [_alone(event, by) for event in events]
    return WatchImagesResponse(
        resume_token=alone[-1].resume_token,
        events=Events(events=[_as_event(one) for one in alone]),
    )


def _as_event(reply: WatchImagesResponse) -> EventMessage:
    token = reply.resume_token
    match reply.WhichOneof("event"):
        case "stored":
            return EventMessage(resume_token=token, stored=reply.stored)
        case "described":
            return EventMessage(resume_token=token, described=reply.described)
        case _:
            return EventMessage(resume_token=token, deleted_id=reply.deleted_id)
