"""Figures in the text format of Prometheus, and on their way between two processes."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from conexiones.metrics import Instrument, Metrics
from conexiones.transport.process.exposition import exposition, name_of
from conexiones.transport.process.figures import packed, unpacked


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("rpc.server.call.duration", "s", "histogram", "rpc_server_call_duration_seconds"),
        ("conexiones.refusals", "{error}", "counter", "conexiones_refusals_total"),
        ("conexiones.calls.sent", "By", "counter", "conexiones_calls_sent_bytes_total"),
        ("conexiones.sent.bytes", "By", "counter", "conexiones_sent_bytes_total"),
        ("conexiones.disk.free", "By", "gauge", "conexiones_disk_free_bytes"),
        ("conexiones.quota.used", "1", "gauge", "conexiones_quota_used_ratio"),
        ("conexiones.hits", "1", "counter", "conexiones_hits_total"),
        ("conexiones.build.info", "", "gauge", "conexiones_build_info"),
    ],
)
def test_names(name: str, unit: str, kind: str, expected: str) -> None:
    assert name_of(Instrument(name, unit, ""), kind) == expected


def test_what_is_written_is_what_was_measured() -> None:
    metrics = Metrics()
    metrics.counters("calls", "{call}", 'Of "all".\nReally.', ("a.b",)).of('quoted "\\\n value').value = 2
    times = metrics.histogram("times", "s", "Times.", bounds=(0.5, 1.0))
    for seconds in (0.25, 0.5, 0.75, 3):
        times.record(seconds)
    metrics.observe("size", "By", "Size.", lambda: 12345678901)
    told = json.loads(json.dumps(packed(metrics.read())))
    assert unpacked(told) == metrics.read()
    target = {"service.name": "a", "k8s.pod-name": "b", "1": "c", "__name__": "d", "ñ": "e\n"}
    text = exposition(unpacked(told), target).decode()
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples == {
        ("calls_total", ("a_b", 'quoted "\\\n value')): 2,
        ("times_seconds_bucket", ("le", "0.5")): 2,
        ("times_seconds_bucket", ("le", "1.0")): 3,
        ("times_seconds_bucket", ("le", "+Inf")): 4,
        ("times_seconds_count",): 4,
        ("times_seconds_sum",): 4.5,
        ("size_bytes",): 12345678901,
        (
            "target_info",
            ("k8s_pod_name", "b"),
            ("key_1", "c"),
            ("key__", "e\n"),
            ("key___name__", "d"),
            ("service_name", "a"),
        ): 1,
    }
