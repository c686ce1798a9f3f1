"""Measures the SDKs against the fastest clients that there are."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import google_crc32c
import grpc

from bench.images import framed, touch
from bench.load.curl import curl
from bench.load.h2load import h2load
from bench.measures import Wrong, interleave
from bench.peers import http
from bench.peers.server_process import ROOT, SOURCES, Failed, ServerProcess, ours
from bench.rows import Bench
from bench.rows.source import Source, take_out
from bench.rows.uploads import GIB, MIB
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CreateUploadRequest,
    FinishUploadRequest,
    Upload,
    WriteStreamRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub

UPLOAD = "1 GiB upload by the SDKs"
DOWNLOAD = "1 GiB download"
H2LOAD = "h2load, WriteStream, 1 MiB chunks"
PYTHON = "Python SDK"
NODE = "Node SDK"
CURL = "curl, from nginx"
GRPCIO = "limit: grpcio, messages thrown away"
GRPC_JS = "limit: grpc-js, messages thrown away"

PROGRAMS = ROOT / "node" / "dist" / "test" / "programs"
MOVE = PROGRAMS / "move.js"
DISCARD = PROGRAMS / "discard.js"


def run(bench: Bench) -> None:
    """Upload by both SDKs and by h2load of the same calls; download by both SDKs, by curl, and by what the
    SDKs stand on, which only reads messages."""
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        # With fewer bytes, the clients' first calls take longer than moving the image.
        source = Source(folder, bench.size(GIB, 256 * MIB))
        server = stack.enter_context(ours(folder / "ours"))
        python = [sys.executable, "-m", "bench.load.sdk"]
        put = [*python, "put"]
        uploads: dict[str, Callable[[int], float]] = {
            H2LOAD: partial(_h2load, source, server),
            PYTHON: partial(_put, source, server, put),
        }
        node = shutil.which("node")
        move = [node, str(MOVE)] if node and MOVE.is_file() else []
        if move:
            uploads[NODE] = partial(_put, source, server, [*move, "put"])
        else:
            bench.results.note("The Node SDK is left out: make bench sets up what it needs")
        interleave(bench.results, UPLOAD, uploads, unit="s")

        picture = source.number(0)
        image = str(say(server, [*put, str(source.path)])["id"])
        url, files = stack.enter_context(http.nginx(folder / "nginx"))
        shutil.copyfile(source.path, files / "image.bmp")

        def check(path: Path) -> None:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").digest() != picture.digest:
                    raise Wrong("what was downloaded is not what was stored")
            path.unlink()

        def sdk(command: list[str], number: int) -> float:
            target = folder / "target"
            seconds = say(server, [*command, "get", image, str(target)])["seconds"]
            check(target)
            return float(seconds)

        def from_nginx(number: int) -> float:
            target = folder / "target"
            touch(files / "image.bmp")
            seconds = curl(f"{url}/image.bmp", "-o", target, "-w", "%{time_total}")
            check(target)
            return float(seconds)

        def discard(command: list[str], number: int) -> float:
            return float(say(server, [*command, image])["seconds"])

        downloads: dict[str, Callable[[int], float]] = {
            PYTHON: partial(sdk, python),
            CURL: from_nginx,
            GRPCIO: partial(discard, [*python, "discard"]),
        }
        if move and node:
            downloads[NODE] = partial(sdk, move)
            downloads[GRPC_JS] = partial(discard, [node, str(DISCARD)])
        interleave(bench.results, DOWNLOAD, downloads, unit="s")


def _put(source: Source, server: ServerProcess, command: list[str], number: int) -> float:
    source.number(number)
    seconds = float(say(server, [*command, str(source.path)])["seconds"])
    take_out(server, source.picture)
    return seconds


def say(server: ServerProcess, command: list[str]) -> dict[str, float | str]:
    """Runs a client, and returns the last line of its output, which is JSON."""
    environ = {**os.environ, "PYTHONPATH": SOURCES, "CONEXIONES_ADDRESS": server.address}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise Failed(done.stderr)
    said: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return said


def _h2load(source: Source, server: ServerProcess, number: int) -> float:
    """Makes the same calls as the SDKs: create, write with checksums, finish."""
    picture = source.number(number)
    body = source.path.parent / "chunks"
    with grpc.insecure_channel(server.address) as channel:
        stub = UploadServiceStub(channel)
        begin = time.perf_counter()
        create = CreateUploadRequest(request_id=str(uuid.uuid4()), size_bytes=picture.size)
        upload = stub.CreateUpload(create, timeout=30).upload
        created = time.perf_counter() - begin
        with body.open("wb") as file:
            offset = 0
            for piece in picture.pieces(MIB):
                chunk = WriteStreamRequest(
                    upload_id="" if offset else upload.id,
                    offset=offset,
                    data=piece,
                    crc32c=google_crc32c.value(piece),
                )
                file.write(framed(chunk))
                offset += len(piece)
        touch(body)
        load = h2load(server.address, "/conexiones.v1.UploadService/WriteStream", body)
        begin = time.perf_counter()
        finish = FinishUploadRequest(id=upload.id, size_bytes=picture.size, sha256=picture.digest)
        upload = stub.FinishUpload(finish, timeout=60).upload
        finished = time.perf_counter() - begin
    if upload.state != Upload.STATE_READY:
        raise Wrong(f"the upload ended as {upload}")
    take_out(server, picture)
    return created + load.seconds + finished
