"""How panels of the dashboard ask.

OF in a query stands for the labels that choose servers.
"""

from typing import NamedTuple

RATE = "$__rate_interval"

Query = tuple[str, str]
"""A query, and the text of its series: `{{label}}` is the value of a label."""


class Panel(NamedTuple):
    """`unit` is one of Grafana's. `kind` is "timeseries", or "stat" for the newest value only."""

    title: str
    unit: str
    says: str
    queries: list[Query]
    kind: str = "timeseries"
    width: int = 8


def quantile(share: float, metric: str, by: str = "", choose: str = "") -> str:
    """The bound under which that share of a histogram's values is, for each set of the labels `by`."""
    labels = ", ".join(["le", *filter(None, [by])])
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{choose}OF}}[{RATE}])))"


def rate(metric: str, by: str, choose: str = "") -> str:
    """How much it grows in a second, for each set of the labels `by`."""
    return f"sum by ({by}) (rate({metric}{{{choose}OF}}[{RATE}]))"


def of_all(metric: str, by: str = "") -> str:
    """What servers store, for each value of the label `by`. Servers that share their data tell the same, and
    so count once for each job."""
    shares = "on (job, instance) conexiones_duties{OF}"
    apart = f"{metric}{{OF}} unless {shares}"
    together = f"max by ({', '.join(['job', *filter(None, [by])])}) ({metric}{{OF}} and {shares})"
    return f"sum{f' by ({by})' * bool(by)} ({apart} or {together})"
