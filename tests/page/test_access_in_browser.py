"""Who may do what on the page, in a real browser."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import grpc
import pytest

from conexiones.domain.access.secrets import TOKEN, mint
from conexiones.gen.conexiones.v1.access_pb2 import CreateTokenRequest, RevokeTokenRequest
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub
from conexiones.gen.conexiones.v1.images_pb2 import ListImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.page.browser import Browser, large
from tests.page.gate import gate
from tests.page.pictures import landscape
from tests.support.certificates import authority, tls
from tests.support.chromium import served
from tests.support.lengths import brief
from tests.support.waiting import DEADLINE

MB = 10**6


class Guarded:
    """A server that asks for credentials, and three images on it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.admin = (server.data_dir / "admin-token").read_text().strip()
        for number in range(3):
            self.store(landscape(number))

    def store(self, image: bytes) -> None:
        self._call(UsuarioServicioStub, "ProcessImage", GetUserRequest(image=image))

    def token(self, *scopes: str, name: str = "ana", **more: Any) -> Any:
        """A new token: its `secret`, and `token` with its id."""
        request = CreateTokenRequest(name=name, scopes=[f"SCOPE_{one}" for one in scopes], **more)
        return self._call(AdminServiceStub, "CreateToken", request)

    def revoke(self, token: str) -> None:
        self._call(AdminServiceStub, "RevokeToken", RevokeTokenRequest(id=token))

    def images(self) -> list[Any]:
        """Newest first."""
        return list(self._call(ImageServiceStub, "ListImages", ListImagesRequest(page_size=100)).images)

    def user(self, name: str) -> Any:
        return self._call(UsuarioServicioStub, "GetUser", GetUserRequest(name=name)).user

    def _call(self, stub: Any, method: str, request: Any) -> Any:
        with grpc.insecure_channel(self.server.address) as channel:
            metadata = [("authorization", f"Bearer {self.admin}")]
            return getattr(stub(channel), method)(request, metadata=metadata, timeout=DEADLINE)


@pytest.fixture
def guarded(emptied: Callable[..., Server]) -> Guarded:
    return Guarded(emptied(auth="required"))


def test_signing_in_and_out(browser: Browser, guarded: Guarded) -> None:
    token = guarded.token("READ", "WRITE", quota={"stored_bytes": 5 * MB}).secret
    found = browser.play(
        "signing", guarded.server, token=token, wrong=mint(TOKEN), count=3, remarks=True, shot="access"
    )
    assert found["said"] == "The server does not know this credential."
    assert found["session"] == {
        "name": "conexiones_session",
        "httpOnly": True,
        "sameSite": "Strict",
        "path": "/",
    }
    assert "cnx_" not in found["scripts"]
    assert "cns_" not in found["scripts"]
    for text in ("token:ana", "see images, add images", "0 B of 5.0 MB"):
        assert text in found["account"]


@pytest.mark.parametrize(
    ("locale", "says"),
    [
        ("en-US", "This is not a whole token: a character is wrong or missing."),
        ("es-ES", "Esto no es un token completo: hay un carácter equivocado o falta alguno."),
    ],
)
def test_a_link_brings_a_token_in_its_fragment(
    browser: Browser, guarded: Guarded, locale: str, says: str
) -> None:
    token = guarded.token("READ").secret
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    found = browser.play(
        "fragment", guarded.server, token=token, wrong=wrong, count=3, locale=locale, remarks=True
    )
    assert not [url for url in found["requests"] if "cnx_" in urlsplit(url).query + urlsplit(url).path]
    assert "cnx_" not in found["kept"]
    assert found["why"] == says


@pytest.mark.parametrize("width", brief([None, "640"], {"640"}))
def test_what_a_page_shows_that_may_only_read(
    browser: Browser, guarded: Guarded, photograph: bytes, width: str | None
) -> None:
    guarded.store(photograph)
    made = guarded.token("READ")
    before = guarded.images()
    found = browser.play("readOnly", guarded.server, token=made.secret, count=4, width=width, shot="access")
    assert found["notice"].startswith("Read only")
    assert found["buttons"] == ["Try the service", "Signed in as ana"]
    assert '--header "authorization: Bearer $CONEXIONES_TOKEN"' in found["program"]
    assert guarded.images() == before
    # Whoever has the link needs no token.
    with urlopen(found["link"]) as answer:
        image = answer.read()
        assert answer.headers["content-type"] == "image/jpeg"
    if width is None:
        assert hashlib.sha256(image).digest() == before[0].sha256
    assert "until" in found["said"]


def test_what_a_page_shows_that_may_only_write(browser: Browser, guarded: Guarded, tmp_path: Path) -> None:
    file = tmp_path / "picture.jpg"
    file.write_bytes(landscape(7))
    token = guarded.token("WRITE").secret
    said = browser.play(
        "writeOnly", guarded.server, token=token, files=[str(file)], shot="access", remarks=True
    )
    assert said == "You can add images, but not see those that are stored."
    assert guarded.images()[0].sha256 == hashlib.sha256(landscape(7)).digest()


@pytest.mark.parametrize(
    ("locale", "says", "rows"),
    [
        (
            "en-US",
            "You may have 1 images, not 2",
            ("1 of 1", "0 of 2", "At most", "500 calls a second", "10 MB a second"),
        ),
        ("es-ES", "Puedes tener 1 imágenes, no 2", ("1 de 1", "Como máximo", "500 llamadas por segundo")),
    ],
)
def test_what_a_page_says_of_quotas_and_rates(
    browser: Browser, guarded: Guarded, tmp_path: Path, locale: str, says: str, rows: tuple[str, ...]
) -> None:
    files = [tmp_path / f"{number}.jpg" for number in (7, 8)]
    for number, file in enumerate(files):
        file.write_bytes(landscape(number))
    quota = {"stored_images": 1, "open_uploads": 2, "calls_per_second": 500, "bytes_per_second": 10 * MB}
    token = guarded.token("READ", "WRITE", own=True, quota=quota).secret
    found = browser.play(
        "pastQuota",
        guarded.server,
        token=token,
        files=[str(file) for file in files],
        locale=locale,
        shot=f"access-{locale[:2]}",
        remarks=True,
    )
    assert says in found["said"]
    for row in rows:
        assert row in found["account"].replace("\xa0", " ")


def test_an_upload_goes_on_after_its_token_was_revoked(
    browser: Browser, guarded: Guarded, tmp_path: Path, photograph: bytes
) -> None:
    file = large(tmp_path / "film.jpg", photograph, 5 * MB)
    made = guarded.token("READ", "WRITE")
    with gate(guarded.server, 5 * MB // 2) as gated:

        def revoke() -> None:
            guarded.revoke(made.token.id)
            gated.release()

        answers = {"revoke": revoke, "renew": lambda: {"token": guarded.token("READ", "WRITE").secret}}
        given = {"token": made.secret, "file": str(file), "count": 3, "shot": "access"}
        found = browser.play("revoked", gated, answers, remarks=True, **given)
    assert found["intro"].startswith("Your session has ended.")
    assert found["state"] == "Goes on when you have signed in"
    with file.open("rb") as content:
        assert guarded.images()[0].sha256 == hashlib.file_digest(content, "sha256").digest()


def test_nobody_sees_what_another_person_was_uploading(
    browser: Browser, guarded: Guarded, tmp_path: Path, photograph: bytes
) -> None:
    file = large(tmp_path / "film.jpg", photograph, 5 * MB)
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(landscape(8))
    with gate(guarded.server, 5 * MB // 2) as gated:
        browser.play(
            "twoPeople",
            gated,
            token=guarded.token("READ", "WRITE").secret,
            other=guarded.token("READ", "WRITE", name="eva").secret,
            file=str(file),
            picture=str(picture),
            remarks=True,
        )
    with file.open("rb") as content:
        assert guarded.images()[0].sha256 == hashlib.file_digest(content, "sha256").digest()


def test_one_window_signs_in_and_out_for_all(browser: Browser, guarded: Guarded) -> None:
    browser.play("windows", guarded.server, token=guarded.token("READ").secret, count=3, remarks=True)


def test_a_gallery_that_everybody_sees(browser: Browser, start: Callable[..., Server]) -> None:
    public = Guarded(start(auth="required", anonymous_scopes="read"))
    found = browser.play("anonymous", public.server, token=public.admin, count=3, remarks=True)
    assert found["notice"] == "You can see and download the images. Sign in to do more."
    assert found["hidden"]
    with urlopen(found["link"]) as answer:
        assert "signature" not in answer.url


def test_over_tls(browser: Browser, start: Callable[..., Server], tmp_path: Path) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(landscape(0))
    server = start(auth="required", **tls(authority(tmp_path / "certs")))
    token = (server.data_dir / "admin-token").read_text().strip()
    secure = f"https://localhost:{server.port}/"
    found = browser.play("overTls", server, secure=secure, token=token, picture=str(picture))
    assert found == {
        "name": "__Host-conexiones_session",
        "secure": True,
        "httpOnly": True,
        "sameSite": "Strict",
    }


def test_another_page_does_nothing_with_the_session(
    browser: Browser, start: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<!DOCTYPE html><meta charset=utf-8><title>Another</title>")
    with served(tmp_path) as other:
        guarded = Guarded(start(auth="required", cors_origins=other))
        token = guarded.token("READ", "WRITE").secret
        image = guarded.images()[0].id
        found = browser.play("otherOrigin", guarded.server, other=other, token=token, image=image, count=3)
    assert found == {"form": "opaque", "shown": False, "token": 200}
    assert guarded.user("Eve").pow == 0
    assert guarded.user("Ana").name == "Ana"


@pytest.mark.parametrize("look", brief(["light", "dark", "phone"], {"phone"}))
def test_nothing_of_access_stands_in_the_way_of_a_screen_reader(
    browser: Browser, guarded: Guarded, look: str
) -> None:
    quota = {"stored_bytes": 5 * MB, "stored_images": 100, "calls_per_second": 50.0}
    found = browser.play(
        "accessibleAccess",
        guarded.server,
        token=guarded.token("READ", own=False, quota=quota).secret,
        count=3,
        locale="es-ES" if look == "phone" else "en-US",
        dark=look == "dark",
        phone=look == "phone",
        remarks=True,
        shot=f"access-{look}",
    )
    assert found == []
