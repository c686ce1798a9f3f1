"""Uploads: the states and writers of those that can be resumed, when the bytes of a stream are committed, and
small images, each of which comes in one request."""

from conexiones.domain.uploads.chunks import Chunk, ChunkFlow
from conexiones.domain.uploads.outcome import failure
from conexiones.domain.uploads.small import SMALL_BYTES, SmallImage, SmallImages
from conexiones.domain.uploads.uploads import IDLE_SECONDS, TOTAL_SECONDS, Uploads
from conexiones.domain.uploads.writer import UploadWriter

__all__ = [
    "IDLE_SECONDS",
    "SMALL_BYTES",
    "TOTAL_SECONDS",
    "Chunk",
    "ChunkFlow",
    "SmallImage",
    "SmallImages",
    "UploadWriter",
    "Uploads",
    "failure",
]
