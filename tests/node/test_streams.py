"""Streams that fail in the hands of the TypeScript SDK: its caller gets the error, and nobody else."""

import json
from typing import Any

from conexiones.testing import Server
from tests.support.node import PROGRAMS, run

GONE = {"ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_WRITE_AFTER_END"}

DESTROYED = {
    "an image that is not there": {"IMAGE_NOT_FOUND"},
    "a full disk": {"ENOSPC"},
    "a folder that is not there": {"ENOENT"},
    "a stream that breaks": {"broken"},
    "a stream that breaks at its end": {"late"},
    "a destroyed stream": {"ERR_STREAM_DESTROYED"},
    "a stream that was destroyed with an error": {"before"},
    "an ended stream": {"ERR_STREAM_WRITE_AFTER_END"},
    "a stream that was aborted before": {"AbortError"},
    "a stream that is destroyed meanwhile": GONE,
    "a stream that is ended meanwhile": GONE,
    "a stream that never drains, aborted": {"AbortError"},
    "a stream that never ends, aborted": {"AbortError"},
    "a source that fails before it is read": {"UnreachableError"},
    "a source that was aborted before": {"AbortError"},
    "a source with a wrong option": {"INVALID_FIELD"},
}
OTHERS = {
    "a web stream that breaks": "broken",
    "a locked web stream": "ERR_INVALID_STATE",
    "an HTTP client that has gone": "ERR_STREAM_PREMATURE_CLOSE",
    "a source that is not there": "ENOENT",
    "such a source of a stream": "ENOENT",
    "a stream of images that fails": "no more images",
    "the end": "",
}


def test_no_failure_of_a_stream_ends_the_process(node: str, shared: Server) -> None:
    program = str(PROGRAMS / "survive.js")
    output = run(node, "--unhandled-rejections=strict", program, CONEXIONES_ADDRESS=shared.address)
    lines: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    said = {line["what"]: line for line in lines}
    for what, errors in DESTROYED.items():
        assert said[what]["error"] in errors, said[what]
        assert said[what]["destroyed"], said[what]
    for what, error in OTHERS.items():
        assert said[what]["error"] == error, said[what]
    assert said["a web stream for an image that is not there"]["aborted"]
    assert said["a thread"] == {"what": "a thread", "error": "broken", "code": 0}
    # Before the first byte, the server can still answer with an error; after it, only break off.
    assert said["an HTTP response"]["statuses"] == [200, 404]
    refused, cut = (line for line in lines if line["what"] == "an HTTP/2 response")
    assert (refused["error"], refused["status"], refused["whole"]) == ("IMAGE_NOT_FOUND", 404, True)
    assert (cut["error"], cut["status"], cut["whole"]) == ("AbortError", 200, False)
