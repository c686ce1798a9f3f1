"""What an image is, told from its bytes alone: pure Python, no decoding, no I/O."""

from conexiones.domain.formats.facts import Buffer, Facts
from conexiones.domain.formats.signatures import HEAD_BYTES, MARKUP_BYTES, sniff
from conexiones.domain.formats.structure import PEEK_BYTES, peek, probe

__all__ = ["HEAD_BYTES", "MARKUP_BYTES", "PEEK_BYTES", "Buffer", "Facts", "peek", "probe", "sniff"]
