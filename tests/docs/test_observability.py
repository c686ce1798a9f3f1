"""docs/observability.md: its tables of metrics are what a server measures."""

import re
from collections.abc import Callable

from conexiones.testing import Server
from tests.support.paths import ROOT
from tests.support.scrapes import scraped

ROW = re.compile(r"\| `([a-z_.]+)` \| `([a-z_]+)` \| ((?:`[a-z_.]+`(?:, )?)*) ?\| .+ \|")

WHERE_WANTED = {"conexiones_otlp_pushes_total"}
"""Those that a server has only if it pushes."""

SHARED = re.compile("conexiones_(database|duties|garbage|objects|sweep)")
"""Those that a server has only if it shares its data with others. tests/observability has such a server."""


def documented() -> dict[str, str]:
    """The names of all metrics, by their names in /metrics."""
    page = (ROOT / "docs" / "observability.md").read_text()
    return {scraped_name: name for name, scraped_name, _ in ROW.findall(page)}


def test_every_metric_is_documented(sharing: Callable[..., Server]) -> None:
    names = documented()
    for scraped_name, name in names.items():
        assert scraped_name.startswith(name.replace(".", "_"))
    found = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in scraped(sharing(admin_address="127.0.0.1:0")).values()
        if not family.name.startswith("envoy_")
    }
    alone = {name for name in names if not SHARED.match(name)}
    assert alone - WHERE_WANTED == found - {"target_info"}


def test_the_labels_are_those_of_the_figures(sharing: Callable[..., Server]) -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    labels = {name: set(re.findall(r"`([a-z_.]+)`", found)) for _, name, found in ROW.findall(page)}
    for family in scraped(sharing(admin_address="127.0.0.1:0")).values():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples if name in labels else ():
            assert sample.labels.keys() - {"le"} == {label.replace(".", "_") for label in labels[name]}
