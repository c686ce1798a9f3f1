"""What instruments say, as tests ask for it."""

from conexiones.metrics import Labels, Metrics, Numbers


def figures(metrics: Metrics, name: str) -> dict[Labels, float]:
    """The numbers of an instrument by their labels; of a histogram, how many values it has."""
    (found,) = (each for each in metrics.read() if each.instrument.name == name)
    if isinstance(found, Numbers):
        return dict(found.series)
    return {labels: float(sum(counts)) for labels, (counts, _) in found.series.items()}


def figure(metrics: Metrics, name: str, *labels: str) -> float:
    """One of them."""
    return figures(metrics, name)[labels]
