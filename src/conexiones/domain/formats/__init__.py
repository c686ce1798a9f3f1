"""What an image is, told from its bytes alone: pure Python, no decoding, no I/O."""

from conexiones.domain.formats.header import Buffer, ImageHeader
from conexiones.domain.formats.signatures import HEAD_BYTES, MARKUP_BYTES, sniff
from conexiones.domain.formats.structure import PEEK_BYTES, glance, peek, probe

__all__ = [
    "HEAD_BYTES",
    "MARKUP_BYTES",
    "PEEK_BYTES",
    "Buffer",
    "ImageHeader",
    "glance",
    "peek",
    "probe",
    "sniff",
]
