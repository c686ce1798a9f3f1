"""docs/observability.md: its tables of metrics are what a server measures."""

import re
from collections.abc import Callable

from conexiones.testing import Server
from tests.support.paths import ROOT
from tests.support.scrapes import scraped

ROW = re.compile(r"\| `([a-z_.]+)` \| `([a-z_]+)` \| ((?:`[a-z_.]+`(?:, )?)*) ?\| .+ \|")

WHERE_WANTED = {
    "conexiones_otlp_pushes_total",
    "conexiones_duties",
    "conexiones_objects_garbage_total",
    "conexiones_objects_request_duration_seconds",
    "conexiones_objects_request_failures_total",
}
"""Those that a server has only if it pushes, or if it shares its data with others."""


def test_every_metric_is_documented(sharing: Callable[..., Server]) -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    documented = {scraped_name: name for name, scraped_name, _ in ROW.findall(page)}
    for scraped_name, name in documented.items():
        assert scraped_name.startswith(name.replace(".", "_"))
    found = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in scraped(sharing(admin_address="127.0.0.1:0")).values()
        if not family.name.startswith("envoy_")
    }
    assert documented.keys() - WHERE_WANTED == found - {"target_info"}


def test_the_labels_are_those_of_the_figures(sharing: Callable[..., Server]) -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    labels = {name: set(re.findall(r"`([a-z_.]+)`", found)) for _, name, found in ROW.findall(page)}
    for family in scraped(sharing(admin_address="127.0.0.1:0")).values():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples if name in labels else ():
            assert sample.labels.keys() - {"le"} == {label.replace(".", "_") for label in labels[name]}
