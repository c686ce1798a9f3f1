"""Measures the Python SDK: `python -m bench.load.sdk put FILE` or `get ID FILE` prints the seconds as JSON.
`discard ID` reads the image by bare grpcio and throws it away: the least time that messages take."""

import json
import os
import sys
import time
from typing import Any

import grpc

from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest
from conexiones.sdk.blocking import Client


def discard(image_id: str) -> float:
    begin = time.perf_counter()
    options = [("grpc.max_receive_message_length", 16 << 20), ("grpc.http2.lookahead_bytes", 4 << 20)]
    with grpc.insecure_channel(os.environ["CONEXIONES_ADDRESS"], options) as channel:
        # Messages are not taken apart: see sdk/frames.py.
        call: Any = channel.unary_stream(
            "/conexiones.v1.ImageService/DownloadImage",
            request_serializer=DownloadImageRequest.SerializeToString,
        )
        for _ in call(DownloadImageRequest(id=image_id)):
            pass
    return time.perf_counter() - begin


def main() -> None:
    what, first, *rest = sys.argv[1:]
    if what == "discard":
        print(json.dumps({"seconds": discard(first)}))
        return
    begin = time.perf_counter()
    with Client.from_environ() as client:
        image = client.upload(first) if what == "put" else client.download(first, rest[0])
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "id": image.id}))


if __name__ == "__main__":
    main()
