"""Sessions of the page, by raw HTTP: the cookie, when it counts, and how it ends."""

import base64
import json
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from conexiones.domain.access.secrets import SESSION, mint
from conexiones.testing import Server, serve
from tests.support.bitmaps import bitmap
from tests.support.certificates import authority, tls
from tests.support.waiting import DEADLINE

LIMITS = "/conexiones.v1.UploadService/GetLimits"
WATCH = "/conexiones.v1.ImageService/WatchImages"
OTHER = "http://localhost:3000"
"""An origin that may call with a token. To browsers it is of the same site as any port of localhost."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def reason(self) -> str:
        """The reason in the body of an error over plain HTTP."""
        return str(json.loads(self.body)["reason"])

    @property
    def cookie(self) -> str:
        """The cookie that the answer sets, as the browser sends it back."""
        return self.headers["set-cookie"].partition(";")[0]


class Site:
    """A server that asks for credentials, as its page calls it."""

    def __init__(self, server: Server) -> None:
        self.address = f"localhost:{server.port}"
        self.origin = f"http://{self.address}"
        self.admin = (server.data_dir / "admin-token").read_text().strip()

    def ask(self, verb: str, path: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        with closing(HTTPConnection("127.0.0.1", int(self.address[10:]), timeout=DEADLINE)) as connection:
            connection.request(verb, path, body, {"host": self.address, **headers})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def call(self, path: str, message: Any = None, **headers: str) -> Answer:
        """A call over Connect."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        body = json.dumps(message or {}).encode()
        return self.ask("POST", path, {"content-type": "application/json", **given}, body)

    def admits(self, path: str, message: Any) -> Any:
        return json.loads(self.call(path, message, authorization=f"Bearer {self.admin}").body)

    def token(self, *scopes: str, **more: Any) -> tuple[str, str]:
        """The id and the secret of a new token."""
        wanted = {"name": "somebody", "scopes": [f"SCOPE_{one}" for one in scopes], **more}
        made = self.admits("/conexiones.v1.AdminService/CreateToken", wanted)
        return made["token"]["id"], made["secret"]

    def sign_in(self, secret: str = "", **headers: str) -> Answer:
        given = {"authorization": f"Bearer {secret or self.admin}", **headers}
        return self.ask("POST", "/session", given)

    def may(self, cookie: str) -> bool:
        """Whether the page may call with this cookie."""
        return self.call(LIMITS, origin=self.origin, cookie=cookie).status == 200


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serve(auth="required", cors_origins=OTHER) as server:
        yield Site(server)


@pytest.fixture(scope="module")
def image(site: Site) -> str:
    """The path of a stored image."""
    request = {"image": base64.b64encode(b"".join(bitmap(20, 10))).decode()}
    return f"/images/{site.admits('/user.UsuarioServicio/ProcessImage', request)['imageInfo']['id']}"


def test_a_token_gives_a_session(site: Site) -> None:
    answer = site.sign_in()
    assert answer.status == 200
    told = json.loads(answer.body)
    assert (told["subject"], told["own"]) == ("token:admin", False)
    assert told["scopes"] == ["read", "write", "delete", "admin"]
    parts = answer.headers["set-cookie"].split("; ")
    assert re.fullmatch(r"conexiones_session=cns_[0-9A-Za-z]{49}", parts[0])
    assert 12 * 3600 - 60 < int(parts[2].removeprefix("Max-Age=")) <= 12 * 3600
    assert {*parts[1:]} == {"Path=/", parts[2], "HttpOnly", "SameSite=Strict"}
    assert answer.headers["cache-control"] == "no-store"
    told = json.loads(site.call(LIMITS, origin=site.origin, cookie=answer.cookie).body)["access"]
    assert told["subject"] == "token:admin"


def test_a_session_ends_no_later_than_its_token(site: Site) -> None:
    _, secret = site.token("READ", ttl="600s")
    assert json.loads(site.sign_in(secret).body)["seconds"] <= 600


def test_only_a_token_gives_a_session(site: Site) -> None:
    cookie = site.sign_in().cookie
    ticket = site.admits("/conexiones.v1.UploadService/CreateTicket", {})["secret"]
    refused = {
        "nothing": {},
        "a session": {"cookie": cookie, "origin": site.origin},
        "a session as a token": {"authorization": f"Bearer {cookie.partition('=')[2]}"},
        "a ticket": {"authorization": f"Bearer {ticket}"},
        "another scheme": {"authorization": f"Basic {site.admin}"},
    }
    for name, headers in refused.items():
        answer = site.ask("POST", "/session", headers)
        assert (answer.status, answer.headers["set-cookie"]) == (401, None), name


def test_no_form_of_a_page_signs_in(site: Site) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = site.sign_in(**{"content-type": kind})
        assert (answer.status, answer.headers["set-cookie"]) == (415, None), kind
    for headers in ({"origin": OTHER}, {"origin": "null"}, {"sec-fetch-site": "same-site"}):
        answer = site.sign_in(**headers)
        assert (answer.status, answer.reason) == (403, "UNKNOWN_ORIGIN"), headers
    assert site.sign_in(**{"content-type": "application/json", "origin": site.origin}).status == 200
    for verb in ("GET", "HEAD", "PUT", "OPTIONS"):
        assert site.ask(verb, "/session", {}).status == 405, verb
    assert site.ask("POST", "/session/", {"authorization": f"Bearer {site.admin}"}).status == 404
    many = {"authorization": f"Bearer {site.admin}", "content-type": "application/json"}
    assert site.ask("POST", "/session", many, b"x" * 10_000).status == 400


@pytest.mark.parametrize("path", [LIMITS, "/user.UsuarioServicio/GetUser"])
def test_other_pages_do_nothing_with_the_session(site: Site, path: str) -> None:
    cookie = site.sign_in().cookie
    port = site.address[10:]
    others: list[dict[str, str]] = [
        {},  # no browser leaves out the origin of a POST
        {"origin": OTHER},
        {"origin": "null"},
        {"origin": f"https://localhost:{port}"},
        {"origin": f"http://127.0.0.1:{port}"},
        {"origin": "http://localhost"},
        {"origin": f"{site.origin}0"},
        {"origin": site.origin, "sec-fetch-site": "same-site"},
        {"origin": site.origin, "sec-fetch-site": "cross-site"},
    ]
    for headers in others:
        answer = site.ask(
            "POST", path, {"content-type": "application/json", "cookie": cookie, **headers}, b"{}"
        )
        assert (answer.status, json.loads(answer.body)["code"]) == (403, "permission_denied"), headers
    # With a token, a page that --cors-origins names may call; the cookie beside it does not count.
    token = f"Bearer {site.admin}"
    assert site.call(path, {"name": "Ana"}, origin=OTHER, authorization=token, cookie=cookie).status == 200


def test_no_form_carries_a_call(site: Site) -> None:
    """Forms are sent without asking the server first."""
    headers = {"cookie": site.sign_in().cookie, "origin": site.origin}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        more = {"content-type": kind} if kind else {}
        answer = site.ask("POST", "/user.UsuarioServicio/GetUser", headers | more, b'{"name": "Ana"}')
        assert (answer.status, answer.reason) == (415, "UNKNOWN_PROTOCOL"), kind


def test_images_are_shown_with_the_session(site: Site, image: str) -> None:
    cookie = site.sign_in().cookie
    for headers in (
        {},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": site.origin},
    ):
        for verb in ("GET", "HEAD"):
            answer = site.ask(verb, image, {"cookie": cookie, **headers})
            assert (answer.status, answer.headers["cache-control"].split(", ")[0]) == (200, "private"), (
                headers
            )
    # A page of another origin gets what everybody gets.
    for headers in ({"sec-fetch-site": "same-site"}, {"sec-fetch-site": "cross-site"}, {"origin": OTHER}):
        answer = site.ask("GET", image, {"cookie": cookie, **headers})
        assert (answer.status, answer.reason) == (401, "NO_CREDENTIALS"), headers
    assert site.ask("GET", image, {}).status == 401


def test_a_cookie_that_is_not_good_is_no_cookie(site: Site) -> None:
    cookie = site.sign_in().cookie
    name, _, secret = cookie.partition("=")
    bad = {
        "mistyped": f"{name}={secret[:-1]}",
        "never given out": f"{name}={mint(SESSION)}",
        "empty": f"{name}=",
        "a token": f"{name}={site.admin}",
        "two of them": f"{cookie}; {cookie}",
        "another of its name": f"{name} ; {cookie}",
        "of another name": f"x{cookie}",
        "in other letters": cookie.upper(),
    }
    for _ in range(5):  # however many there are: a browser sends what it has
        for what, value in bad.items():
            answer = site.call(LIMITS, origin=site.origin, cookie=value)
            assert (answer.status, json.loads(answer.body)["code"]) == (401, "unauthenticated"), what
    assert site.may(f"a=b;{cookie}; c")
    assert site.may("; a" * 3000 + f"; {cookie}" + ";" * 3000)
    # What is in Authorization decides, whatever the cookie is.
    refused = site.call(LIMITS, origin=site.origin, cookie=cookie, authorization="Bearer x")
    assert refused.status == 401
    assert site.call(LIMITS, cookie=bad["mistyped"], authorization=f"Bearer {site.admin}").status == 200


def test_signing_out(site: Site) -> None:
    cookie, other = site.sign_in().cookie, site.sign_in().cookie
    # Another page cannot.
    answer = site.ask("DELETE", "/session", {"cookie": cookie, "origin": OTHER})
    assert (answer.status, answer.reason) == (403, "UNKNOWN_ORIGIN")
    answer = site.ask("DELETE", "/session", {"cookie": cookie, "origin": site.origin})
    assert answer.status == 204
    assert answer.headers["set-cookie"].startswith("conexiones_session=; Path=/; Max-Age=0; ")
    assert answer.headers["clear-site-data"] == '"cache"'
    assert (site.may(cookie), site.may(other)) == (False, True)
    # The cookie of a session that has ended is removed, too.
    answer = site.ask("DELETE", "/session", {"cookie": cookie, "origin": site.origin})
    assert (answer.status, answer.headers["set-cookie"].count("Max-Age=0")) == (204, 1)


def test_signing_in_again_ends_the_session_before(site: Site) -> None:
    before = site.sign_in().cookie
    after = site.sign_in(cookie=before, origin=site.origin).cookie
    assert (site.may(before), site.may(after)) == (False, True)


def test_revoking_the_token_ends_its_sessions_and_their_streams(site: Site) -> None:
    token, secret = site.token("READ")
    cookie = site.sign_in(secret).cookie
    with closing(HTTPConnection("127.0.0.1", int(site.address[10:]), timeout=DEADLINE)) as connection:
        headers = {"host": site.address, "origin": site.origin, "cookie": cookie}
        message = b"{}"
        body = b"\0" + len(message).to_bytes(4) + message
        connection.request("POST", WATCH, body, {**headers, "content-type": "application/connect+json"})
        stream = connection.getresponse()
        assert stream.read(5)[:1] == b"\0", "the first event is there"
        site.admits("/conexiones.v1.AdminService/RevokeToken", {"id": token})
        rest = stream.read()
    assert b"unauthenticated" in rest
    assert not site.may(cookie)


def test_an_image_is_not_kept_for_longer_than_its_link_works(site: Site, image: str) -> None:
    cookie = site.sign_in().cookie
    signed = site.call(
        "/conexiones.v1.ImageService/SignImageUrl",
        {"id": image.removeprefix("/images/"), "ttl": "500s"},
        origin=site.origin,
        cookie=cookie,
    )
    path = json.loads(signed.body)["path"]
    answer = site.ask("GET", path, {})
    again = site.ask("GET", path, {"if-none-match": answer.headers["etag"]})
    assert (answer.status, again.status) == (200, 304)
    for one in (answer, again):
        private, age, _ = one.headers["cache-control"].split(", ")
        assert private == "private"
        assert int(age.removeprefix("max-age=")) <= 501


def test_a_link_outlives_the_session_but_not_the_token(site: Site, image: str) -> None:
    token, secret = site.token("READ")
    cookie = site.sign_in(secret).cookie
    wanted = {"id": image.removeprefix("/images/"), "ttl": f"{7 * 86400}s"}
    signed = site.call("/conexiones.v1.ImageService/SignImageUrl", wanted, origin=site.origin, cookie=cookie)
    path = json.loads(signed.body)["path"]
    site.ask("DELETE", "/session", {"cookie": cookie, "origin": site.origin})
    answer = site.ask("GET", path, {})
    assert answer.status == 200
    assert "max-age=604" in answer.headers["cache-control"]
    site.admits("/conexiones.v1.AdminService/RevokeToken", {"id": token})
    assert site.ask("GET", path, {}).status == 401


def test_over_tls_the_cookie_is_of_this_host_alone(start: Callable[..., Server], tmp_path: Path) -> None:
    certs = authority(tmp_path / "certs")
    server = start(auth="required", **tls(certs))
    secret = (server.data_dir / "admin-token").read_text().strip()
    trust = ssl.create_default_context(cafile=certs / "ca.pem")

    def ask(path: str, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(HTTPSConnection("localhost", server.port, context=trust)) as connection:
            connection.request("POST", path, b"{}", {"content-type": "application/json", **given})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    origin = f"https://localhost:{server.port}"
    answer = ask("/session", authorization=f"Bearer {secret}", origin=origin)
    name, _, value = answer.cookie.partition("=")
    assert name == "__Host-conexiones_session"
    assert answer.headers["set-cookie"].endswith("; HttpOnly; SameSite=Strict; Secure")
    assert ask(LIMITS, origin=origin, cookie=answer.cookie).status == 200
    # One that plain text could have set does not count.
    assert ask(LIMITS, origin=origin, cookie=f"conexiones_session={value}").status == 401
    assert ask(LIMITS, origin=f"http://localhost:{server.port}", cookie=answer.cookie).status == 403


def test_behind_a_proxy_that_ends_tls(start: Callable[..., Server]) -> None:
    """One that is trusted tells the scheme."""
    site = Site(start(auth="required", trusted_proxies="1", names="images.example"))
    through = {"x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.1", "host": "images.example"}
    answer = site.sign_in(**through, origin="https://images.example")
    assert answer.cookie.startswith("__Host-conexiones_session=")
    assert answer.headers["set-cookie"].endswith("; Secure")
    given = through | {"cookie": answer.cookie, "content-type": "application/json"}
    called = site.ask("POST", LIMITS, given | {"origin": "https://images.example"}, b"{}")
    assert called.status == 200
    called = site.ask("POST", LIMITS, given | {"origin": "http://images.example"}, b"{}")
    assert called.status == 403


def test_a_server_that_asks_for_nothing_has_no_sessions(shared: Server) -> None:
    with closing(HTTPConnection("127.0.0.1", shared.port, timeout=DEADLINE)) as connection:
        connection.request("POST", "/session")
        assert connection.getresponse().status == 404


def test_sessions_outlive_the_server(start: Callable[..., Server]) -> None:
    """One that has ended does not come back, however the server ends."""
    server = start(auth="required")
    site = Site(server)
    ended, kept = site.sign_in().cookie, site.sign_in().cookie
    site.ask("DELETE", "/session", {"cookie": ended, "origin": site.origin})
    server.kill()
    server.start()
    assert (site.may(ended), site.may(kept)) == (False, True)
