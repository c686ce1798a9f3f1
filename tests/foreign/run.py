"""Runs the program of one client against one server, and says what it should not have seen."""

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path

from tests.foreign.clients import Client
from tests.foreign.given import PHOTO, Large, patterns
from tests.sdk.proxy import Proxy
from tests.support.paths import ROOT

SECONDS = 180.0
"""How long a program may take. It takes a few seconds on a machine at rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A server. certs: a folder with its CA and a client's certificate, None without TLS."""

    name: str
    address: str
    certs: Path | None = None


async def problems(client: Client, wire: Wire, image: Large) -> list[str]:
    """What is wrong, in one line for each case; nothing if all is well."""
    # The connection of the upload is cut when half of it has gone through.
    async with Proxy(wire.address, 0, most_bytes=1, faulty=0, cut_at=image.size // 2) as proxy:
        environ = {
            "FOREIGN_ADDRESS": wire.address,
            "FOREIGN_PROXY": proxy.address,
            "FOREIGN_KIND": client.kind,
            "FOREIGN_PHOTO": str(PHOTO),
            "FOREIGN_LARGE": str(image.path),
            "FOREIGN_CERTS": str(wire.certs or ""),
        }
        status, said, errors = await _run(client, environ)
    found = dict(line.split("\t", 1) for line in said.splitlines() if "\t" in line)
    wanted = patterns(image)
    wrong = [
        f"{case}: {found.get(case, 'no answer')}"
        for case in client.cases
        if not re.fullmatch(wanted[case], found.get(case, ""))
    ]
    wrong += [f"{case}: unexpected, {seen}" for case, seen in found.items() if case not in client.cases]
    if "upload" in client.cases and not proxy.happened:
        wrong.append("upload: the connection was not cut")
    if status or (wrong and errors):
        wrong.append(f"the program ended with {status}: {errors[-2000:]}")
    return wrong


async def _run(client: Client, environ: dict[str, str]) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *client.command,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            said, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None, "", f"no end after {SECONDS:g} seconds"
    return process.returncode, said.decode(), errors.decode(errors="replace")
