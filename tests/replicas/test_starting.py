"""How a server that shares its data starts, and when it says that it is ready."""

import asyncio
import json
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

from conexiones.adapters.blobs.s3.store import S3Store
from conexiones.adapters.system.memory_cache import MemoryCache
from conexiones.cli import main
from conexiones.errors import StorageUnavailable
from conexiones.metrics import Metrics
from conexiones.settings import Settings, SettingsError
from conexiones.stores.shared import SharedStores
from conexiones.testing import ServerError
from tests.replicas.conftest import Replica
from tests.support.bitmaps import bitmap
from tests.support.postgres import running
from tests.support.waiting import until

PASSWORD = "s3cret"


def test_the_first_token_is_made_by_a_command(database: str) -> None:
    def first(*arguments: str, url: str = database) -> tuple[int, str, str]:
        ran = CliRunner().invoke(main, ["token", "first", *arguments], env={"CONEXIONES_DATABASE": url})
        return ran.exit_code, ran.stdout, ran.stderr

    status, secret, said = first()
    assert (status, secret[:4], "not shown again" in said) == (0, "cnx_", True)
    status, nothing, said = first()
    assert (status, nothing) == (1, "")
    assert "already" in said
    status, another, _ = first("--again", "--json")
    assert status == 0
    assert json.loads(another)["secret"] != secret
    assert first(url="")[2] == "conexiones: Give --database, or set CONEXIONES_DATABASE.\n"
    status, _, said = first("--database", f"postgresql://ana:{PASSWORD}@/postgres?host=/nowhere")
    assert (status, said.count("\n"), PASSWORD in said) == (1, 1, False)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"blobs": None}, "--database needs --blobs"),
        ({"database": None}, "--blobs needs --database"),
        ({"new_admin_token": "true"}, "conexiones token first"),
        ({"database": f"postgresql://ana:{PASSWORD}@/postgres?host=/nowhere"}, "cannot be reached"),
        ({"s3_endpoint": "http://127.0.0.1:9"}, "at http://127.0.0.1:9 cannot be used"),
        ({"blobs": "s3://no-such-bucket"}, "s3://no-such-bucket at"),
        ({"blobs": "s3://bucket/a//b"}, "empty path segment"),
        (
            {"database": f"postgresql://ana:{PASSWORD}#@127.0.0.1/x"},
            "The URL of the database is not understood",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    replica: Replica, shared_settings: dict[str, str], settings: dict[str, str | None], says: str
) -> None:
    for name, value in settings.items():
        shared_settings.pop(name, None)
        if value is not None:
            shared_settings[name] = value
    with pytest.raises(ServerError) as refused:
        replica(auth="required")
    *_, last = str(refused.value).strip().splitlines()
    assert last.startswith("conexiones: ")
    assert says in last
    assert PASSWORD not in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_a_password_is_not_shown() -> None:
    url = f"postgresql://ana:{PASSWORD}@db.example/images"
    settings = Settings.load({"CONEXIONES_DATABASE": url, "CONEXIONES_BLOBS": "s3://bucket/prefix/"})
    assert PASSWORD not in repr(settings)
    assert settings.places == "postgresql://ana@db.example/images and s3://bucket/prefix"
    with pytest.raises(SettingsError) as refused:
        Settings.load({"CONEXIONES_DATABASE": url.replace("postgresql", "mysql")})
    assert PASSWORD not in str(refused.value)


def test_a_server_is_ready_while_its_database_is(replica: Replica) -> None:
    with running() as engine:
        server = replica(database=engine.url(), admin_address="127.0.0.1:0", auth="none")

        def readiness() -> int:
            try:
                with urlopen(f"http://{server.admin_address}/readyz") as reply:
                    return int(reply.status)
            except HTTPError as error:
                return error.code

        assert readiness() == 200
        with server.client(retries=0) as client:
            image = client.upload(b"".join(bitmap(3, 2)))
            engine.kill()
            with pytest.raises(StorageUnavailable):
                client.image(image.id)
            asyncio.run(until(lambda: readiness() == 503))
            engine.start()
            asyncio.run(until(lambda: readiness() == 200))
            assert client.image(image.id).id == image.id
            assert client.upload(b"".join(bitmap(4, 2))).width == 4


async def test_a_look_how_much_is_stored_that_fails_is_as_rare_as_others(
    shared_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def slowly(_: S3Store) -> dict[str, int]:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.01)
        raise StorageUnavailable

    monkeypatch.setattr(S3Store, "sizes", slowly)
    stores = SharedStores(Settings.load(flags={**shared_settings}), hot=MemoryCache(0), metrics=Metrics())
    _, (_, measure) = stores.sweeps()
    with pytest.raises(StorageUnavailable):
        await measure()
    await measure()
    assert looks == 1
