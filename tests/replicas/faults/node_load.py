"""Clients in Node.js that do the same, in one process: node/test/programs/replicas.ts."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.replicas.faults.told import Told
from tests.support.node import PROGRAMS
from tests.support.waiting import DEADLINE

OWNER = "node"


class NodeLoad:
    """`folder` has the contents, each in a file with its name. What the clients are told goes to `told`."""

    def __init__(self, node: str, folder: Path, told: Told) -> None:
        self._node = node
        self._folder = folder
        self._told = told
        self._said = asyncio.Event()

    @asynccontextmanager
    async def open(self, address: str, admin: str, token: str) -> AsyncIterator[None]:
        """Begins to watch, with the token of the administrator."""
        given = {"REPLICAS_ADDRESS": address, "REPLICAS_ADMIN": admin, "REPLICAS_TOKEN": token}
        self._process = await asyncio.create_subprocess_exec(
            *(self._node, str(PROGRAMS / "replicas.js"), str(self._folder)),
            env=os.environ | given,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        reading = asyncio.create_task(self._read())
        try:
            await self._answered()
            yield
            self._send({"do": "close"})
            async with asyncio.timeout(DEADLINE):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def begin(self, seed: int, workers: int) -> None:
        kept = {id: self._told.stored[id] for id in self._told.kept(OWNER)}
        self._send({"do": "begin", "seed": seed, "workers": workers, "kept": kept})
        await self._answered()

    async def end(self) -> None:
        self._send({"do": "end"})
        await self._answered(2 * DEADLINE)

    def _send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin
        self._said.clear()
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def _answered(self, seconds: float = DEADLINE) -> None:
        async with asyncio.timeout(seconds):
            await self._said.wait()

    async def _read(self) -> None:
        assert self._process.stdout
        async for text in self._process.stdout:
            await self._take(json.loads(text))
        if await self._process.wait():
            self._told.wrong.append("Node's process has ended")
            self._said.set()
            await self._told.note()

    async def _take(self, said: dict[str, Any]) -> None:
        told = self._told
        match said:
            case {"stored": id, "content": content, "what": what}:
                await told.store(id, content, OWNER, f"Node {what}")
            case {"deleting": id}:
                told.unsure.add(id)
            case {"deleted": id}:
                told.deleted.add(id)
                await told.did("Node's delete")
            case {"did": what}:
                await told.did(f"Node's {what}")
            case {"event": kind, "id": id}:
                told.heard.setdefault("Node", []).append((kind, id))
                await told.note()
            case {"failed": reason}:
                told.failed[f"Node: {reason}"] += 1
            case {"wrong": why}:
                told.wrong.append(f"Node: {why}")
                await told.note()
            case _:
                self._said.set()
