"""h2spec: the frames and streams of HTTP/2, and HPACK. Envoy implements them; the settings are ours."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from conexiones.testing import Server
from tests.conformance.build import Suites
from tests.conformance.late import PATH
from tests.conformance.protocols import BUILD
from tests.conformance.result import Known, Result, compared

_NOT_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Bytes that h2spec copies from frames into its report, and that XML does not allow."""


def run(suites: Suites, known: list[Known]) -> Result:
    report = BUILD / "h2spec.xml"
    report.unlink(missing_ok=True)
    with TemporaryDirectory(prefix="conformance-") as folder:
        server = Server(Path(folder), {}, ("-m", "tests.conformance.server"))
        server.start()
        with server:
            host, _, port = server.address.rpartition(":")
            command: list[str | Path] = [suites.h2spec, "-h", host, "-p", port, "-P", PATH, "-j", report]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    return compared("h2spec", dict(_outcomes(report)), known)


def _outcomes(report: Path) -> Iterator[tuple[str, str]]:
    """The name of each case, section and number as on h2spec's command line, and what went wrong."""
    for group in ElementTree.fromstring(_NOT_XML.sub(b"", report.read_bytes())):
        for number, case in enumerate(group, 1):
            wrong = "; ".join("".join(part.itertext()).strip() for part in case)
            yield f"{group.get('package')}/{number}", wrong
