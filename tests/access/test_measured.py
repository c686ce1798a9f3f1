"""Calls are counted by the kind of credential that was shown. Nothing that a client sends makes a label."""

from collections.abc import Callable

import pytest

from conexiones import errors
from conexiones.principals import Principal
from conexiones.testing import Server
from conexiones.transport.chain.access import Access
from conexiones.transport.chain.call import Call
from tests.support import admin
from tests.support.bitmaps import bitmap
from tests.support.scrapes import Answer, ask, scraped, value
from tests.transport.chain.calls import Client, call, nothing

ACCESS = "/conexiones.v1.UploadService/GetLimits"


@pytest.fixture
def guarded(sharing: Callable[..., Server]) -> Server:
    return sharing(auth="required", admin_address="127.0.0.1:0")


def limits(server: Server, **headers: str) -> Answer:
    return ask(server.address, ACCESS, verb="POST", headers={"content-type": "application/json", **headers})


def test_calls_are_counted_by_what_was_shown(guarded: Server) -> None:
    def bearer(secret: str) -> dict[str, str]:
        return {"authorization": f"Bearer {secret}"}

    with guarded.client() as client:
        image = admin.store(guarded, b"".join(bitmap(20, 10)))
        link = client.image_link(image).removeprefix(f"http://{guarded.address}")
        ticket = client.create_ticket().secret
        begun = ask(guarded.address, "/session", verb="POST", headers=bearer(guarded.token))
        cookie = begun.headers["set-cookie"].partition(";")[0]
    before = scraped(guarded)
    assert ask(guarded.address, link).status == 200
    limits(guarded, **bearer(ticket))
    limits(guarded, cookie=cookie, origin=f"http://{guarded.address}")
    limits(guarded, **bearer(guarded.token))
    limits(guarded, **bearer(f"{guarded.token}x"))
    limits(guarded)
    after = scraped(guarded)
    more = {
        kind: value(after, "conexiones_calls_total", credential=kind)
        - value(before, "conexiones_calls_total", credential=kind)
        for kind in ("link", "ticket", "session", "token", "none")
    }
    assert more == {"link": 1, "ticket": 1, "session": 1, "token": 2, "none": 1}
    assert value(after, "conexiones_refusals_total", reason="TOKEN_MISTYPED") >= 1


async def test_what_is_signed_by_an_issuer_is_a_jwt() -> None:
    class Signed:
        kind = "token"

        def __call__(self, call: Call) -> Principal:
            return Principal(subject="somebody", scopes=frozenset({"read"}))

    one = call(Client())
    one.route = type(one.route)(service="a", method="b", endpoint=nothing, needs="read")
    await Access([Signed()], nobody=Principal())(one, nothing)
    assert one.shown == "jwt"
    nobody = call(Client())
    nobody.route = one.route
    with pytest.raises(errors.NoCredentials):
        await Access([], nobody=Principal())(nobody, nothing)
    assert nobody.shown == "none"


def test_nothing_of_a_request_becomes_a_label(guarded: Server) -> None:
    odd = "Xq7"
    for path in (f"/{odd}", f"/images/{odd}", f"/{odd}.Service/{odd}", f"/page/{odd}", f"{ACCESS}{odd}"):
        for verb in ("GET", "POST", "PUT", odd):
            for kind in ("", "application/json", "application/grpc", f"application/grpc+{odd}"):
                headers = {
                    "content-type": kind,
                    "authorization": f"Bearer {odd}",
                    "user-agent": odd,
                    "x-forwarded-proto": odd,
                }
                ask(guarded.address, path, verb=verb, headers=headers)
    families = scraped(guarded)
    labels = {
        found for family in families.values() for sample in family.samples for found in sample.labels.values()
    }
    assert not [found for found in labels if odd.lower() in found.lower()]
    calls = [sample.labels for sample in families["http_server_request_duration_seconds"].samples]
    verbs = {"GET", "POST", "PUT", "DELETE", "HEAD", "_OTHER"}
    assert {found["http_request_method"] for found in calls} <= verbs
    assert {found["url_scheme"] for found in calls} == {"http"}
    routes = {"", "/", "/images/{id}", "/page/{file}", "/session"}
    assert {found["http_route"] for found in calls} <= routes
