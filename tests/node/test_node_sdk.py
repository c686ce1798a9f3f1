"""The TypeScript SDK in node/: its own tests, and programs that move images while something is killed."""

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc
import pytest

from conexiones import Client, __version__
from conexiones.errors import BY_REASON
from conexiones.gen.conexiones.v1 import images_pb2, uploads_pb2
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.testing import Server
from tests.support.addresses import ask
from tests.support.bitmaps import bitmap
from tests.support.certificates import authority, mtls
from tests.support.clients import need
from tests.support.lengths import THOROUGH
from tests.support.node import PACKAGE, PROGRAMS, run, run_tests
from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE, until

MOVE = PROGRAMS / "move.js"
MIB = 1 << 20


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Makes a BMP of about so many MiB, once."""
    folder = tmp_path_factory.mktemp("pictures")

    def make(size: int) -> Path:
        path = folder / f"{size}.bmp"
        if path.exists():
            return path
        width, height = 16384, size * MIB // (16384 * 3)
        numbers = ((4, 40), (4, width), (4, height), (2, 1), (2, 24), (24, 0))
        with path.open("wb") as file:
            file.write(b"BM" + (54 + width * height * 3).to_bytes(4, "little") + bytes(4))
            file.write((54).to_bytes(4, "little"))
            file.write(b"".join(number.to_bytes(count, "little") for count, number in numbers))
            row = os.urandom(width * 3)
            for _ in range(height):
                file.write(row)
        return path

    return make


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Moving:
    """A running move.js, which prints its steps as lines of JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def step(self) -> dict[str, Any]:
        assert self.process.stdout
        assert self.process.stderr
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def moved(self, least: int = 1) -> dict[str, Any]:
        """Waits for the first step with at least that many bytes; the transfer must not be complete."""
        while (step := self.step())["bytes"] < least:
            pass
        assert step["bytes"] < step.get("total", 1 << 60)
        return step

    def result(self) -> dict[str, Any]:
        while "id" not in (step := self.step()):
            pass
        assert self.process.wait(DEADLINE) == 0
        return step

    def go_on(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE)


@pytest.fixture
def move(node: str, serving: Server) -> Callable[..., Any]:
    @contextmanager
    def start(*arguments: str | Path, still_at: str = "Infinity") -> Iterator[Moving]:
        """It stands still when more bytes than that are through, so that it is not done before it is killed,
        however late this process reads how far it has come."""
        process = subprocess.Popen(
            [node, str(MOVE), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"CONEXIONES_ADDRESS": serving.address, "MOVE_STILL_AT": still_at},
        )
        with process:
            try:
                yield Moving(process)
            finally:
                process.kill()

    return start


def download(channel: grpc.Channel, id: str) -> bytes:
    """The image as Python's generated stubs read it."""
    frames = ImageServiceStub(channel).DownloadImage(images_pb2.DownloadImageRequest(id=id))
    return b"".join(frame.data for frame in frames)


def test_generated_code_is_up_to_date(node: str) -> None:
    run(node, "generate.js", "--check")


def test_its_own_tests(node: str, server: Server, tmp_path: Path) -> None:
    environ: dict[str, Any] = {
        "CONEXIONES_ADDRESS": server.address,
        "CONEXIONES_DATA_DIR": str(server.data_dir),
    }
    run_tests(node, PROGRAMS.parent, tmp_path, timeout=1200, **environ)


def test_it_knows_every_reason(node: str) -> None:
    assert set(json.loads(run(node, str(MOVE), "reasons"))) == set(BY_REASON)


# Two uploads to a server that is full: one gives up after `patienceMs`, the other is aborted by its signal.
FULL = """
import { Client } from "conexiones";
const client = Client.fromEnviron();
const said = (error) => console.log(error.reason ?? error.name);
const large = Buffer.alloc(2_000_000);
await client.limits(); // so that the patience is for the server alone, and not for the connection
await client.upload(large, { patienceMs: 500 }).catch(said);
await client.upload(large, { signal: AbortSignal.timeout(500) }).catch(said);
client.close();
"""


def test_tls_with_a_client_certificate_and_a_server_that_is_full(
    node: str, start: Callable[..., Server], photograph: bytes, tmp_path: Path
) -> None:
    authority(tmp_path, "localhost")
    server = start(**mtls(tmp_path), max_open_uploads="1")
    (tmp_path / "image.jpg").write_bytes(photograph)
    environ: dict[str, Any] = {
        "CONEXIONES_ADDRESS": f"localhost:{server.port}",
        "CONEXIONES_CA": str(tmp_path / "ca.pem"),
        "CONEXIONES_CERT": str(tmp_path / "client.pem"),
        "CONEXIONES_KEY": str(tmp_path / "client.key"),
    }
    last = run(node, str(MOVE), "put", str(tmp_path / "image.jpg"), **environ).splitlines()[-1]
    assert json.loads(last)["sha256"] == hashlib.sha256(photograph).hexdigest()
    # One open upload fills the server.
    (tmp_path / "full.mjs").write_text(FULL)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "conexiones").symlink_to(PACKAGE)
    security = grpc.ssl_channel_credentials(
        *(Path(environ[f"CONEXIONES_{name}"]).read_bytes() for name in ("CA", "KEY", "CERT"))
    )
    with grpc.secure_channel(environ["CONEXIONES_ADDRESS"], security) as channel:
        UploadServiceStub(channel).CreateUpload(uploads_pb2.CreateUploadRequest(request_id="left"))
    assert run(node, "full.mjs", folder=tmp_path, **environ) == "TOO_MANY_UPLOADS\nTimeoutError\n"


SLOWLY = """
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { Client } from "conexiones";
const client = Client.fromEnviron();
const image = await readFile("image.jpg");
async function* slowly() {
  yield image.subarray(0, 150_000); // which the SDK keeps until all of it is acknowledged
  await once(process.stdin, "data");
  yield image.subarray(150_000);
}
let begun = false;
const onProgress = ({ bytes }) => {
  if (bytes && !begun) console.log("begun");
  begun ||= bytes > 0;
};
const stored = await client.upload(slowly(), { chunkSize: 100_000, onProgress });
console.log(Buffer.from(stored.sha256).toString("hex"));
client.close();
process.stdin.destroy();
"""


def test_an_upload_that_expired_is_begun_anew(
    node: str, start: Callable[..., Server], photograph: bytes, tmp_path: Path
) -> None:
    """Another client needs the only place, and the upload has been idle meanwhile."""
    server = start(max_open_uploads="1", upload_idle_seconds="0.1")
    (tmp_path / "slowly.mjs").write_text(SLOWLY)
    (tmp_path / "image.jpg").write_bytes(photograph)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "conexiones").symlink_to(PACKAGE)
    create = "conexiones.v1.UploadService/CreateUpload"
    with subprocess.Popen(
        [node, "slowly.mjs"],
        cwd=tmp_path,
        env={**os.environ, "CONEXIONES_ADDRESS": server.address},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin
        assert program.stdout
        assert program.stdout.readline() == "begun\n"
        asyncio.run(
            until(lambda: "upload" in ask(server.address, create, {"requestId": "x"}, source="127.0.0.2"))
        )
        program.stdin.write("go on\n")
        program.stdin.flush()
        assert program.stdout.readline().strip() == hashlib.sha256(photograph).hexdigest()


def test_the_examples_of_its_page_run(node: str, server: Server, photograph: bytes, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "sdk-node.md").read_text()
    for name, code in re.findall(r"```js\n// (\S+)\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).write_text(code)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "conexiones").symlink_to(PACKAGE)
    (tmp_path / "scan.tiff").write_bytes(photograph)  # the format comes from the content, never from the name
    environ: dict[str, Any] = {"CONEXIONES_ADDRESS": server.address}
    assert f"JPEG 1280 × 853 {len(photograph)} bytes" in run(node, "move.mjs", folder=tmp_path, **environ)
    assert (tmp_path / "copy.tiff").read_bytes() == photograph
    assert run(node, "refused.mjs", folder=tmp_path, **environ).startswith("NOT_AN_IMAGE")
    small = run(node, "small.mjs", folder=tmp_path, **environ)
    assert small.startswith("WEBP 320 × 213 ")
    assert (tmp_path / "small.webp").read_bytes()[8:12] == b"WEBP"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.jpg").write_bytes(photograph)
    (tmp_path / "folder" / "b.txt").write_bytes(b"no image at all")
    many = run(node, "many.mjs", folder=tmp_path, **environ).splitlines()
    assert next(line for line in many if "NOT_AN_IMAGE" not in line).startswith("folder/a.jpg 0")
    assert "folder/b.txt NOT_AN_IMAGE" in many
    users = run(node, "users.mjs", folder=tmp_path, **environ)
    assert "format: 'JPEG'" in users
    assert "JPEG\nNOT_AN_IMAGE\nAda 144 " in users
    looked = run(node, "look.mjs", folder=tmp_path, **environ)
    assert looked.count("deleted\n") == 2
    assert f"{__version__} takes 17179869184 bytes at most" in looked
    with subprocess.Popen(
        [node, "serve.mjs"], cwd=tmp_path, env=os.environ | environ | {"PORT": ""}, stdout=subprocess.PIPE
    ) as serving:
        serving.kill()
    with subprocess.Popen(
        [node, "watch.mjs"], cwd=tmp_path, env=os.environ | environ, stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout
        assert watching.stdout.readline() == "listening\n"
        with Client(server.address) as client:
            id = client.upload(photograph).id
        assert watching.stdout.readline() == f"+ {id} JPEG\n"
        watching.kill()
    with subprocess.Popen(
        [node, "serve.mjs"], cwd=tmp_path, env=os.environ | environ, stdout=subprocess.PIPE, text=True
    ) as serving:
        assert serving.stdout
        base = f"http://127.0.0.1:{serving.stdout.readline().strip()}"
        with urlopen(f"{base}/{id}") as response:
            assert response.read() == photograph
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{base}/00000000-0000-7000-8000-000000000000")
        serving.kill()


# Sources and targets as TypeScript sees them in a program that also has the types of browsers, as by default.
TYPES = """
import { createReadStream, createWriteStream, openAsBlob } from "node:fs";
import { PassThrough } from "node:stream";
import { Client } from "conexiones";
const client = new Client("localhost:50051");
const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
const response = await fetch("http://localhost");
const blobs = [await response.blob(), new File([], "image.jpg"), await openAsBlob("image.jpg")];
const streams = [readable, response.body!, createReadStream("image.jpg"), [new Uint8Array(1)]];
const sources = [...blobs, ...streams, await response.arrayBuffer()];
for (const source of sources) await client.upload(source, { name: "image.jpg" });
const gzip = new CompressionStream("gzip").writable;
for (const target of [writable, gzip, new PassThrough(), createWriteStream("image.jpg"), new URL("file:///image")])
  console.log((await client.download("id", target)).name);
const bytes: Uint8Array = await client.download("id", { offset: -3 });
console.log(new Response(await client.download("id")), new Client({ ca: new Uint8Array() }));
for await (const { name } of client.images({ name: "image", sha256: [bytes, "00"] })) console.log(name);
"""


@THOROUGH
def test_the_package_has_what_its_users_need_and_no_more(
    node: str, shared: Server, photograph: bytes, tmp_path: Path
) -> None:
    """A TypeScript program with the strictest settings compiles against the packed package, and runs."""
    # What was built for these tests is packed. `make dist` builds it anew, and tries that.
    source = tmp_path / "project" / "node"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("node_modules", "dist"))
    shutil.copytree(PACKAGE / "dist" / "src", source / "dist" / "src")
    shutil.copy(ROOT / "LICENSE", source)
    run(need("npm", "make test sets it up"), "pack", "--silent", folder=source)
    modules = tmp_path / "node_modules"
    modules.mkdir()
    with tarfile.open(source / f"conexiones-{__version__}.tgz") as packed:
        names = packed.getnames()
        packed.extractall(modules, filter="data")
    (modules / "package").rename(modules / "conexiones")
    for dependency in ("@bufbuild", "@grpc", "@node-rs", "@types"):
        (modules / dependency).symlink_to(PACKAGE / "node_modules" / dependency)
    others = {name for name in names if not re.fullmatch(r"package/dist/src/[\w/]+(\.d\.ts|\.js)", name)}
    assert others == {"package/package.json", "package/README.md", "package/LICENSE"}
    assert "package/dist/src/index.d.ts" in names
    assert (source / f"conexiones-{__version__}.tgz").stat().st_size < 130_000

    (tmp_path / "scan.tiff").write_bytes(photograph)
    code = re.findall(r"```js\n// \S+\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    (tmp_path / "readme.mts").write_text("".join(code))
    (tmp_path / "types.mts").write_text(TYPES)
    # Without --lib there would be the types of browsers, which the package must not need.
    settings = ["--module", "nodenext", "--target", "es2022", "--lib", "es2022", "--strict"]
    settings += ["--exactOptionalPropertyTypes"]
    compiler = str(PACKAGE / "node_modules" / "typescript" / "bin" / "tsc")
    run(node, compiler, *settings, "--types", "node", "readme.mts", "types.mts", folder=tmp_path)
    assert " JPEG 1280 853\n" in run(node, "readme.mjs", folder=tmp_path, CONEXIONES_ADDRESS=shared.address)
    assert (tmp_path / "copy.tiff").read_bytes() == photograph


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (PACKAGE / "package-lock.json").read_text()


def test_an_upload_goes_on_when_the_server_was_killed(
    move: Any, server: Server, picture: Callable[[int], Path]
) -> None:
    with move("put", picture(32)) as moving:
        before = moving.moved()["bytes"]
        server.kill()
        server.start()
        after = moving.step()["bytes"]
        assert after > before
        assert moving.result()["sha256"] == digest(picture(32))


def test_many_images_go_on_when_the_server_was_killed_and_none_is_stored_twice(
    node: str, server: Server, tmp_path: Path
) -> None:
    for number in range(400):
        (tmp_path / f"{number}.bmp").write_bytes(b"".join(bitmap(57, 57, seed=number)))
    with subprocess.Popen(
        [node, str(PROGRAMS / "many.js"), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"CONEXIONES_ADDRESS": server.address},
    ) as program:
        assert program.stdout
        assert json.loads(program.stdout.readline()) == {"first": True}
        server.kill()
        server.start()
        said = json.loads(program.stdout.readline())
    assert (said["stored"], said["failed"]) == (400, 0)
    with Client(server.address) as client:
        stored = sorted(image.name for image in client.images())
    assert stored == sorted(path.name for path in tmp_path.iterdir())


def test_a_stream_goes_on_when_the_server_was_killed(
    move: Any, server: Server, picture: Callable[[int], Path]
) -> None:
    path = picture(24)
    with move("pipe", path) as moving:
        moving.moved(10 * MIB)
        server.kill()
        moving.go_on()
        server.start()
        assert moving.result()["sha256"] == digest(path)


def test_a_download_goes_on_when_the_server_was_killed(
    move: Any, server: Server, picture: Callable[[int], Path], tmp_path: Path
) -> None:
    path = picture(32)
    with move("put", path) as moving:
        stored = moving.result()
    with move("get", stored["id"], tmp_path / "image") as moving:
        moving.moved()
        server.kill()
        server.start()
        moving.result()
    assert digest(tmp_path / "image") == stored["sha256"] == digest(path)
    assert [found.name for found in tmp_path.iterdir()] == ["image"]


def test_another_process_goes_on_with_an_upload_and_a_download(
    move: Any, picture: Callable[[int], Path], tmp_path: Path
) -> None:
    path = tmp_path / "image.bmp"
    shutil.copyfile(picture(32), path)
    with move("put", path, "resume", still_at="0") as moving:
        sent = moving.moved()["bytes"]
        moving.kill()
    with move("put", path, "resume") as moving:
        assert moving.step()["bytes"] >= sent
        stored = moving.result()
    assert stored["sha256"] == digest(path)

    copy = tmp_path / "copy.bmp"
    with move("get", stored["id"], copy, "resume", still_at="0") as moving:
        moving.moved()
        moving.kill()
    with move("get", stored["id"], copy, "resume") as moving:
        assert moving.step()["bytes"] > 0
        moving.result()
    assert digest(copy) == stored["sha256"]
    assert sorted(found.name for found in tmp_path.iterdir()) == ["copy.bmp", "image.bmp"]


def test_python_reads_what_node_wrote_and_the_other_way_round(
    move: Any, channel: grpc.Channel, photograph: bytes, tmp_path: Path
) -> None:
    sent = tmp_path / "sent.jpg"
    sent.write_bytes(photograph)
    with move("put", sent) as moving:
        stored = moving.result()
    assert download(channel, stored["id"]) == photograph

    uploads = UploadServiceStub(channel)
    upload = uploads.CreateUpload(uploads_pb2.CreateUploadRequest(request_id="python")).upload
    uploads.WriteChunk(uploads_pb2.WriteChunkRequest(upload_id=upload.id, data=photograph))
    finished = uploads.FinishUpload(
        uploads_pb2.FinishUploadRequest(id=upload.id, size_bytes=len(photograph))
    ).upload
    with move("get", finished.image.id, tmp_path / "got.jpg") as moving:
        assert moving.result()["sha256"] == stored["sha256"]
    assert (tmp_path / "got.jpg").read_bytes() == photograph
