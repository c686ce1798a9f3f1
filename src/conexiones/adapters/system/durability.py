"""How long it takes to make something durable, as all who do so measure it."""

from conexiones.metrics import Histogram, Histograms, Metrics


def fsyncs(metrics: Metrics) -> Histograms:
    """By the kind of file: "segment", "upload" or "blob"."""
    found = metrics.histograms(
        "conexiones.fsync.duration",
        "s",
        "Time to have bytes on disk: the small blobs of a group (segment, with the write), what an upload"
        " commits (upload), and a whole large image (blob).",
        ("file",),
    )
    for file in ("segment", "upload", "blob"):
        found.of(file)
    return found


def commits(metrics: Metrics) -> Histogram:
    """Of catalogs: each transaction that writes."""
    return metrics.histogram(
        "conexiones.commit.duration", "s", "Time of a transaction that makes rows of the catalog durable."
    )
