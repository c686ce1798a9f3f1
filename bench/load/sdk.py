"""Measures the Python SDK: `python -m bench.load.sdk put FILE` or `get ID FILE` prints the seconds as
JSON."""

import json
import sys
import time

from conexiones.sdk.blocking import Client


def main() -> None:
    what, first, *rest = sys.argv[1:]
    begin = time.perf_counter()
    with Client.from_environ() as client:
        image = client.upload(first) if what == "put" else client.download(first, rest[0])
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "id": image.id}))


if __name__ == "__main__":
    main()
