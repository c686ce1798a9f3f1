"""Runs programs in Python whose paths come as lines, each in a fork that has imported gRPC, but not used it.

Answers each with a line of JSON: what it printed, and its exit status.
"""

import io
import json
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path

import grpc  # noqa: F401 (that is what forks are for)


def child(path: str, descriptor: int) -> int:
    """Runs the program in this process, and gives its exit status."""
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdin = io.StringIO()  # they are asked nothing
    sys.argv = [path]
    sys.path[0] = str(Path(path).resolve().parent)
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


for line in sys.stdin:
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if pid == 0:
            status = child(line.strip(), output.fileno())
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, waited = os.waitpid(pid, 0)
        output.seek(0)
        text = output.read().decode()
    print(json.dumps([text, os.waitstatus_to_exitcode(waited)]), flush=True)
