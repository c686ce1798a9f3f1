"""Debian's real Prometheus scrapes a server with all kinds of traffic, and one over PostgreSQL and S3. Every
query of the dashboard has data then, and so has every series that an alert compares; and no label has a value
that clients made up."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from urllib.request import urlopen

import grpc
import pytest

from conexiones.errors import BY_REASON
from conexiones.testing import Server, serve
from tests.docs.test_observability import SHARED, documented
from tests.observability.prometheus import Prometheus, prometheus
from tests.observability.test_alerts import RULES, promtool
from tests.observability.traffic import Traffic
from tests.support.bitmaps import bitmap
from tests.support.clients import need
from tests.support.kept import DECODE_SECONDS
from tests.support.paths import ROOT
from tests.support.postgres import Engine
from tests.support.scrapes import scraped, value
from tests.support.seaweed import ObjectServer
from tests.support.waiting import DEADLINE, until

DASHBOARD = ROOT / "deploy" / "grafana" / "conexiones.json"
WINDOW = "10m"
"""What takes the place of Grafana's variable for the range of a rate: longer than the traffic takes, and all
queries, on a busy machine too."""


WHERE_WANTED = r"\bconexiones_otlp_"
"""Figures of what not every server does."""


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, photograph: bytes) -> Iterator[tuple[Server, Traffic]]:
    """A server that has had traffic of all kinds."""
    with (
        serve(
            decode_seconds=DECODE_SECONDS, decode_workers=1, auth="required", admin_address="127.0.0.1:0"
        ) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        traffic = Traffic(server, channel)
        traffic.more(photograph)
        yield server, traffic


@pytest.fixture(scope="module")
def replica(
    postgres: Engine, object_server: ObjectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server over PostgreSQL and S3, which has swept."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "tests")
        with serve(
            database=postgres.schema(),
            blobs=f"s3://{object_server.bucket()}",
            s3_endpoint=object_server.url,
            cache_dir=str(tmp_path_factory.mktemp("cache")),
            decode_seconds=DECODE_SECONDS,
            decode_workers=1,
            admin_address="127.0.0.1:0",
        ) as server:
            asyncio.run(until(lambda: value(scraped(server), "conexiones_sweep_last_finished_seconds") > 0))
            yield server


def store(server: Server, photograph: bytes) -> None:
    """A small image, and one that is not."""
    with server.client() as client:
        client.upload(b"".join(bitmap(8, 8)))
        assert client.download(client.upload(photograph).id) == photograph


@pytest.fixture(scope="module")
def scraping(
    busy: tuple[Server, Traffic],
    replica: Server,
    photograph: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Prometheus]:
    """Prometheus, which has seen the traffic begin and end."""
    server, traffic = busy
    need("prometheus", "apt install prometheus")
    targets = [server.admin_address, replica.admin_address]
    with prometheus(tmp_path_factory.mktemp("prometheus"), targets, RULES) as found:
        found.scraped()
        traffic.more(photograph)
        store(replica, photograph)
        found.scraped()
        yield found


def test_every_query_of_the_dashboard_has_data(scraping: Prometheus) -> None:
    queries = [
        target["expr"]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", [])
    ]
    assert len(queries) > 50
    without = [query for query in map(_plain, queries) if not _numbers(scraping.query(query))]
    assert [query for query in without if not re.search(WHERE_WANTED, query)] == []


def test_what_every_alert_compares_is_there(scraping: Prometheus) -> None:
    rules = scraping.rules()
    assert len(rules) > 10
    compared = [part for rule in rules.values() for part in parts(rule)]
    assert len(compared) >= len(rules)
    without = [part for part in compared if not scraping.query(part)]
    assert [part for part in without if not re.search(WHERE_WANTED, part)] == []


def test_nothing_fires_without_a_reason(scraping: Prometheus) -> None:
    assert scraping.query('ALERTS{alertstate="firing"}') == []


def test_what_only_a_server_with_shared_stores_has_is_documented(
    busy: tuple[Server, Traffic], replica: Server
) -> None:
    alone, shared = (set(scraped(server)) for server in (busy[0], replica))
    assert shared - alone == {name.removesuffix("_total") for name in documented() if SHARED.match(name)}


def test_promtool_reads_the_metrics(busy: tuple[Server, Traffic], replica: Server) -> None:
    for server in (busy[0], replica):
        ours = [line for line in metrics(server).splitlines() if not re.search(r"\benvoy_", line)]
        promtool("check", "metrics", said="\n".join(ours) + "\n")


def test_labels_have_values_of_closed_sets(busy: tuple[Server, Traffic], replica: Server) -> None:
    for family in (*scraped(busy[0]).values(), *scraped(replica).values()):
        if not family.name.startswith("conexiones"):
            continue
        for sample in family.samples:
            for label, text in sample.labels.items():
                assert label in LABELS, f"{family.name} has a label {label}"
                assert LABELS[label](text), f"{family.name} has {label}={text!r}"


def metrics(server: Server) -> str:
    with urlopen(f"http://{server.admin_address}/metrics", timeout=DEADLINE) as answer:
        return str(answer.read().decode())


def words(text: str) -> Callable[[str], object]:
    known = text.split()
    return lambda value: value in known


LABELS: dict[str, Callable[[str], object]] = {
    # label → whether a value is one of its set
    "le": lambda value: value == "+Inf" or float(value) >= 0,
    "budget": words("hot small_messages incoming_messages messages_in_work replies uploads"),
    "cache": words("memory renditions copies"),
    "cause": words("MEMORY SECONDS CRASH IDLE STOPPED STORAGE"),
    "credential": words("none token ticket link session certificate jwt"),
    "cpu_mode": words("user system"),
    "file": words("segment upload blob"),
    "format": words("JPEG PNG GIF WEBP TIFF BMP AVIF HEIF"),
    "kind": words("new large blobs objects"),
    "outcome": words(
        "OK STOPPED ERROR PIXELS SECONDS MEMORY CORRUPT CRASH UNSUPPORTED"
        " READY REJECTED FAILED CANCELLED EXPIRED"
        " ok failed committed conflict refused lost unknown"
    ),
    "commit": lambda value: re.fullmatch(r"[0-9a-f]*", value),
    "schema": str.isdecimal,
    "version": lambda value: re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+[a-z0-9.+]*", value),
    "part": words("catalog segments blobs uploads"),
    "pool": words("prompt background"),
    "process": words("supervisor server writer decoder"),
    "protocol": words("grpc connect http"),
    "quota": words("bytes images"),
    "reason": BY_REASON.__contains__,
    "request": words("PUT GET HEAD LIST DELETE"),
    "resource": words(
        "calls exempt_calls brief_calls small_messages incoming_messages messages_in_work replies uploads"
        " catalog_reads object_requests disk_writes judging finishing watch_reads prompt_decoders"
        " background_decoders"
    ),
    "result": words("hit miss"),
    "state": words("waiting sent"),
    "task": words("preview describe render"),
    "use": words("read write listen"),
    "way": words("whole fragments user small upload"),
}


def parts(rule: str) -> list[str]:
    """What a rule compares: the sides of `or` and `and`, without their last comparison."""
    found, depth, begun, quoted = [], 0, 0, False
    for at, sign in enumerate(rule):
        quoted ^= sign == '"'
        depth += 0 if quoted else (sign in "([{") - (sign in ")]}")
        word = re.match(r"\s(or|and|unless)(\s+(ignoring|on) \([^)]*\))?\s", rule[at:])
        if word and not depth and not quoted:
            found.append(rule[begun:at])
            begun = at + len(word[0])
    return [re.sub(r"\s*(==|<|>)\s*[\d.e+]+\s*$", "", part) for part in [*found, rule[begun:]]]


def test_rules_are_taken_apart_at_their_words() -> None:
    rule = 'sum by (a) (rate(x{b="c or d"}[5m]) or y) / z > 0.05 or u == 0 and v / w < 1'
    assert parts(rule) == ['sum by (a) (rate(x{b="c or d"}[5m]) or y) / z', "u", "v / w"]


def _plain(query: str) -> str:
    """A query as Grafana sends it."""
    query = query.replace("$__rate_interval", WINDOW)
    return query.replace("$job", ".*").replace("$instance", ".*")


def _numbers(values: list[float]) -> list[float]:
    """Without those that are not a number, of which Grafana shows nothing."""
    return [value for value in values if value == value]
