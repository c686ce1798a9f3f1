"""HEIC and AVIF sequences on a real server, as a phone sends them and a browser asks for them."""

import io
import urllib.request

import grpc
import pytest
from PIL import Image

from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest, Rendition
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.adapters.decoder.test_heic import far
from tests.adapters.decoder.workers import animated_avif, quarters
from tests.support import corpus_heic
from tests.support.failures import failure
from tests.support.waiting import DEADLINE


def opened(server: Server, path: str) -> Image.Image:
    with urllib.request.urlopen(f"http://{server.address}/images/{path}", timeout=DEADLINE) as answer:
        return Image.open(io.BytesIO(answer.read()))


def test_a_photograph_of_a_phone(shared: Server, stub: UsuarioServicioStub) -> None:
    data = corpus_heic.encoded("orientation-6")
    stored = stub.ProcessImage(GetUserRequest(image=data), timeout=DEADLINE).image_info
    assert (stored.format, stored.width, stored.height, stored.frames) == ("HEIF", 64, 96, 1)
    rendition = opened(shared, f"{stored.id}?width=32")
    assert (rendition.format, rendition.size) == ("JPEG", (32, 48))
    user = GetUserRequest(name="Luz", image=data)
    [reply] = stub.GetUserBidiStream(iter([user]), timeout=DEADLINE)
    preview = Image.open(io.BytesIO(reply.image))
    assert preview.size == (64, 96)
    assert far(preview, quarters(96, 64).rotate(270, expand=True)) < 10  # it is a JPEG


def test_an_animation(shared: Server, stub: UsuarioServicioStub) -> None:
    data = animated_avif(4)
    stored = stub.ProcessImage(GetUserRequest(image=data), timeout=DEADLINE).image_info
    assert (stored.format, stored.width, stored.height, stored.frames) == ("AVIF", 96, 64, 4)
    animation = opened(shared, f"{stored.id}?width=48&animated=1")
    assert (animation.format, animation.size, getattr(animation, "n_frames", 1)) == ("WEBP", (48, 32), 4)
    still = opened(shared, f"{stored.id}?width=48")
    assert (still.format, getattr(still, "n_frames", 1)) == ("AVIF", 1)


@pytest.mark.parametrize("rendition", [Rendition(width=10), Rendition(format="FORMAT_PNG")])
def test_what_has_no_decoder_is_stored_and_says_so(
    channel: grpc.Channel, stub: UsuarioServicioStub, rendition: Rendition
) -> None:
    data = corpus_heic.sequence(*[corpus_heic.picture().data] * 3)
    stored = stub.ProcessImage(GetUserRequest(image=data), timeout=DEADLINE).image_info
    assert (stored.format, stored.frames) == ("HEIF", 3)
    call = ImageServiceStub(channel).DownloadImage
    request = DownloadImageRequest(id=stored.id, rendition=rendition)
    assert failure(call, request) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_RENDITION")
