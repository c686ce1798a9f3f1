"""`make foreign`: builds the clients and runs each over all wires. Without its language, one is left out."""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from conexiones.testing import serve
from tests.foreign.build import FAMILIES, BuildError, build
from tests.foreign.clients import CLIENTS, Client
from tests.foreign.given import LIMIT, SMALL, WHOLE, large
from tests.foreign.page import PAGE, page
from tests.foreign.run import Wire, problems
from tests.support.certificates import authority, mtls, tls


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.foreign", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="libraries, or the folders they are in: all if none is given"
    )
    parser.add_argument("--write", action="store_true", help="write docs/foreign-clients.md, and run nothing")
    options = parser.parse_args()
    if options.write:
        PAGE.write_text(page())
        return 0
    names = set(options.names)
    chosen = [client for client in CLIENTS if not names or {client.library, client.family} & names]
    begin = time.monotonic()
    families = dict.fromkeys(client.family for client in chosen)
    try:
        built = {name for name in families if _built(name)}
    except BuildError as error:
        print(f"A client cannot be built. {error}", file=sys.stderr)
        return 1
    passed, failed = _run([client for client in chosen if client.family in built])
    print(f"It took {time.monotonic() - begin:.0f} seconds.")
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


def _built(family: str) -> bool:
    """Builds a family. False if a tool for it is missing."""
    if missing := FAMILIES[family].missing():
        print(f"{family} is left out: {missing}", flush=True)
        return False
    begin = time.monotonic()
    build(family)
    print(f"{family} is built, after {time.monotonic() - begin:.0f} seconds.", flush=True)
    return True


def _run(clients: Sequence[Client]) -> tuple[int, int]:
    """How many of the clients are well over a wire, and how many are not."""
    passed = failed = 0
    with TemporaryDirectory(prefix="foreign-") as name:
        folder = Path(name)
        small, whole = large(folder, *SMALL), large(folder, *WHOLE)
        with _wires(folder) as (plain, frugal, *secure):
            for client in clients:
                for wire in (frugal if client.small else plain, *secure):
                    begin = time.monotonic()
                    wrong = asyncio.run(problems(client, wire, whole if wire is plain else small))
                    seconds = time.monotonic() - begin
                    said = "; ".join(wrong) or "well"
                    print(f"{client}, over {wire.name}: {said} ({seconds:.1f} s)", flush=True)
                    passed, failed = passed + (not wrong), failed + bool(wrong)
    return passed, failed


@contextmanager
def _wires(folder: Path) -> Iterator[list[Wire]]:
    """The first one has the limits of the default, the others take only messages for a small image."""
    certs = authority(folder / "certs")
    with ExitStack() as stack:

        def start(**settings: str) -> str:
            return stack.enter_context(serve(None, **settings)).address

        yield [
            Wire(name="plain text", address=start()),
            Wire(name="plain text", address=start(max_message_bytes=LIMIT)),
            Wire(name="TLS", address=start(max_message_bytes=LIMIT, **tls(certs)), certs=certs),
            Wire(name="mTLS", address=start(max_message_bytes=LIMIT, **mtls(certs)), certs=certs),
        ]


if __name__ == "__main__":
    sys.exit(main())
