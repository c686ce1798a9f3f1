"""Transfers by a process that is killed, resumed by another one."""

import asyncio
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from conexiones import AsyncClient
from conexiones.sdk.parts import PIECE_BYTES
from conexiones.sdk.resume import StateFile
from conexiones.testing import Server
from tests.support.bitmaps import bitmap

TRANSFER = str(Path(__file__).parent / "transfer.py")


async def until_killed(after: int, *arguments: str) -> int:
    """Runs a transfer, kills it once more than `after` bytes are through, and gives how many were. It stands
    still then: else it might be done before this process, on a busy machine, reads how far it has come."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, TRANSFER, *arguments, str(after), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    done = 0
    async for line in process.stdout:
        done = int(line)
        if done > after:
            process.kill()
            break
    await process.communicate()
    assert process.returncode == -9
    return done


async def test_another_process_goes_on_with_an_upload(
    client: AsyncClient, shared: Server, scan: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "scan.bmp"
    path.write_bytes(scan)
    done = await until_killed(9_000_000, "put", shared.address, str(path))
    seen: list[int] = []
    image = await client.upload(path, resume=True, progress=lambda bytes_, _: seen.append(bytes_))
    assert seen[0] >= done
    assert image.sha256 == hashlib.sha256(scan).digest()
    assert not path.with_name("scan.bmp.conexiones-upload").exists()
    # A file that has changed since is uploaded anew.
    await until_killed(9_000_000, "put", shared.address, str(path))
    changed = b"".join(bitmap(3000, 2000, seed=5))
    path.write_bytes(changed)
    assert (await client.upload(path, resume=True)).sha256 == hashlib.sha256(changed).digest()


async def test_the_state_can_be_in_a_folder(
    client: AsyncClient, shared: Server, scan: bytes, tmp_path: Path
) -> None:
    path, folder = tmp_path / "scan.bmp", tmp_path / "states"
    folder.mkdir()
    path.write_bytes(scan)
    begun = asyncio.Event()
    task = asyncio.create_task(client.upload(path, resume=folder, progress=lambda *_: begun.set()))
    await begun.wait()
    task.cancel()
    await asyncio.wait({task})
    assert len(list(folder.glob("*"))) == 1
    await client.upload(path, resume=folder)
    assert list(folder.glob("*")) == []


async def test_another_process_goes_on_with_a_download(
    client: AsyncClient, shared: Server, scan: bytes, tmp_path: Path
) -> None:
    image = await client.upload(scan)
    path = tmp_path / "scan.bmp"
    done = await until_killed(9_000_000, "get", shared.address, image.id, str(path))
    seen: list[int] = []
    assert await client.download(image.id, path, progress=lambda bytes_, _: seen.append(bytes_)) == image
    assert seen[0] > done - PIECE_BYTES  # what a process has collected and not yet written goes with it
    assert path.read_bytes() == scan


def test_an_upload_of_a_version_that_sent_no_names_is_resumed(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"some bytes")
    state = StateFile.of(path, None)
    begun = state.begin(path, address="a:1", user="", name="picture.png")
    assert state.begin(path, address="a:1", user="", name="picture.png") == begun
    assert state.begin(path, address="a:1", user="", name="other.png") != begun
    older = asdict(begun)
    del older["name"]
    state.path.write_text(json.dumps(older))
    resumed = state.begin(path, address="a:1", user="", name="picture.png")
    assert (resumed.request_id, resumed.name) == (begun.request_id, None)
