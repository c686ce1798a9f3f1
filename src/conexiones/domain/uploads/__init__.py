"""Resumable uploads: their states, their writers, and when the bytes of a stream are committed."""

from conexiones.domain.uploads.chunks import Chunk, ChunkFlow
from conexiones.domain.uploads.outcome import failure
from conexiones.domain.uploads.uploads import IDLE_SECONDS, TOTAL_SECONDS, Uploads
from conexiones.domain.uploads.writer import UploadWriter

__all__ = [
    "IDLE_SECONDS",
    "TOTAL_SECONDS",
    "Chunk",
    "ChunkFlow",
    "UploadWriter",
    "Uploads",
    "failure",
]
