"""Puts the files of a folder to an S3 server with obstore: `python s3_puts.py URL BUCKET FOLDER` prints the
seconds as JSON. It runs in an environment of its own, which has obstore and nothing of ours."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from obstore.store import S3Store

AT_A_TIME = 32


async def put(url: str, bucket: str, files: list[Path]) -> float:
    begin = time.perf_counter()
    store: Any = S3Store(
        bucket,
        endpoint=url,
        region="us-east-1",
        access_key_id="any",
        secret_access_key="any",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    paths = iter(files)

    async def some() -> None:
        for path in paths:
            await store.put_async(path.name, path.read_bytes())

    await asyncio.gather(*(some() for _ in range(AT_A_TIME)))
    return time.perf_counter() - begin


if __name__ == "__main__":
    files = sorted(Path(sys.argv[3]).iterdir())
    seconds = asyncio.run(put(sys.argv[1], sys.argv[2], files))
    print(json.dumps({"seconds": seconds}))
