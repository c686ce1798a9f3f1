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
        self._made: WeakKeyDictionary[News, dict[tuple[bool, bool], list[Shared]]] = WeakKeyDictionary()

    def replies(self, news: News, most: int, *, by: Principal) -> Iterable[WatchImagesResponse | Shared]:
        """The replies to a caller who asked for at most `most` events in one; for 0, each in the field of its
        kind."""
        if news.kind == "HEARTBEAT":
            return [WatchImagesResponse(resume_token=news.token, heartbeat=Heartbeat())]
        if news.kind == "RESYNC":
            return [WatchImagesResponse(resume_token=news.token, resync=Resync())]
        if 0 < most < len(news.events):
            return (
                _together(news.events[start : start + most], by) for start in range(0, len(news.events), most)
            )
        made = self._made.setdefault(news, {})
        kind = (by.knows_owners, most > 0)
        if kind not in made:
            messages = [_together(news.events, by)] if most else [_alone(event, by) for event in news.events]
            made[kind] = [Shared(message) for message in messages]
        return made[kind]


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
