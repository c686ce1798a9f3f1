"""The alert rules: Prometheus's own tool reads them, and each fires when it should and else does not."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.clients import need
from tests.support.paths import ROOT

RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
NAMES = re.findall(r"- alert: (\w+)", RULES.read_text())

Series = dict[str, str]
"""What a series is, without its job → its values in the notation of promtool, one a minute."""

MINUTES = 90
"""How long the series of a case are."""


def last(value: str) -> str:
    """The same value all the time."""
    return f"{value}x{MINUTES}"


def growing(step: float, start: float = 0) -> str:
    return f"{start:.0f}{step:+.0f}x{MINUTES}"


def histogram(
    name: str, labels: str, fast: int, slow: int, *, bounds: tuple[str, str] = ("0.1", "10")
) -> Series:
    """A histogram that gets so many values up to the first bound in a minute, and so many above it."""
    return {
        f'{name}_bucket{{{labels}le="{bounds[0]}"}}': growing(fast),
        f'{name}_bucket{{{labels}le="{bounds[1]}"}}': growing(fast + slow),
        f'{name}_bucket{{{labels}le="+Inf"}}': growing(fast + slow),
    }


CALLS = "rpc_server_call_duration_seconds"
REQUESTS = "http_server_request_duration_seconds"
IMAGES = 'http_route="/images/{id}",'
GET_USER = 'rpc_method="UsuarioServicio/GetUser",'
GIB = 1 << 30


def disk(free: str, reserve: int = 1 << 20, files: int = 100_000) -> Series:
    return {
        "conexiones_storage_free_bytes{}": free,
        "conexiones_storage_capacity_bytes{}": last(str(100 * GIB)),
        "conexiones_storage_reserve_bytes{}": last(str(reserve)),
        "conexiones_storage_free_files{}": last(str(files)),
    }


def requests(each_minute: int) -> Series:
    return {'conexiones_objects_request_duration_seconds_count{request="PUT"}': growing(each_minute)}


def swept(finished: str) -> Series:
    """Of a server that runs for long. The time of a case begins with 0."""
    return {
        "conexiones_sweep_last_finished_seconds{}": finished,
        "process_uptime_seconds{}": growing(60, 3600),
    }


CASES: dict[str, tuple[list[Series], list[Series]]] = {
    # alert → series with which it fires, and series with which it does not
    "ConexionesDown": ([{"up{}": last("0")}], [{"up{}": last("1")}]),
    "ConexionesNotReady": ([{"conexiones_ready{}": last("0")}], [{"conexiones_ready{}": last("1")}]),
    "ConexionesErrors": (
        [
            {
                f'{CALLS}_count{{{GET_USER}error_type=""}}': growing(60),
                f'{CALLS}_count{{{GET_USER}error_type="UNAVAILABLE"}}': growing(6),
            },
            {
                f'{CALLS}_count{{{GET_USER}error_type=""}}': growing(6000),
                f'{REQUESTS}_count{{{IMAGES}error_type=""}}': growing(60),
                f'{REQUESTS}_count{{{IMAGES}error_type="503"}}': growing(6),
            },
        ],
        [
            {f'{CALLS}_count{{{GET_USER}error_type=""}}': growing(60)},
            {f'{REQUESTS}_count{{{IMAGES}error_type=""}}': growing(60)},
            {
                f'{CALLS}_count{{{GET_USER}error_type=""}}': growing(60),
                f'{CALLS}_count{{{GET_USER}error_type="UNAVAILABLE"}}': growing(1),
            },
            {
                f'{CALLS}_count{{{GET_USER}error_type=""}}': growing(60),
                f'{CALLS}_count{{rpc_method="_OTHER",error_type="UNIMPLEMENTED"}}': growing(60),
            },
        ],
    ),
    "ConexionesSlow": (
        [histogram(CALLS, GET_USER, 95, 5)],
        [
            histogram(CALLS, GET_USER, 100, 0),
            histogram(CALLS, 'rpc_method="conexiones.v1.ImageService/WatchImages",', 0, 100),
        ],
    ),
    "ConexionesBusy": (
        [{'conexiones_refusals_total{reason="SERVER_BUSY"}': growing(10)}],
        [
            {'conexiones_refusals_total{reason="SERVER_BUSY"}': growing(1)},
            {'conexiones_refusals_total{reason="INVALID_FIELD"}': growing(10)},
        ],
    ),
    "ConexionesEventLoopLate": (
        [histogram("conexiones_event_loop_delay_seconds", "", 50, 10)],
        [histogram("conexiones_event_loop_delay_seconds", "", 60, 0)],
    ),
    "ConexionesDiskFilling": (
        [disk(growing(-GIB / 16, 39 * GIB))],
        [disk(last(str(30 * GIB))), disk(growing(-GIB / 16, 90 * GIB)), disk(growing(GIB / 16, 10 * GIB))],
    ),
    "ConexionesNoSpace": (
        [
            disk(last(str(GIB))),
            disk(last(str(50 * GIB)), reserve=3 << 18),
            disk(last(str(50 * GIB)), files=10),
        ],
        [disk(last(str(50 * GIB)))],
    ),
    "ConexionesFsyncSlow": (
        [
            histogram("conexiones_fsync_duration_seconds", 'file="segment",', 90, 10),
            histogram("conexiones_commit_duration_seconds", "", 90, 10),
        ],
        [
            histogram("conexiones_commit_duration_seconds", "", 90, 10)
            | {"conexiones_database_waiting{}": last("0")},
            histogram("conexiones_fsync_duration_seconds", 'file="segment",', 100, 0)
            | histogram("conexiones_commit_duration_seconds", "", 100, 0),
        ],
    ),
    "ConexionesWriterGone": (
        [
            {"conexiones_writer_processes{}": last("0"), "conexiones_writer_restarts_total{}": last("0")},
            {"conexiones_writer_processes{}": last("1"), "conexiones_writer_restarts_total{}": growing(1)},
        ],
        [{"conexiones_writer_processes{}": last("1"), "conexiones_writer_restarts_total{}": last("1")}],
    ),
    "ConexionesWriterSilent": (
        [{"conexiones_writer_silence_seconds{}": growing(60)}],
        [{"conexiones_writer_silence_seconds{}": last("20")}],
    ),
    "ConexionesDatabaseAway": (
        [{'conexiones_database_connections{use="listen"}': last("0")}],
        [
            {
                'conexiones_database_connections{use="listen"}': last("1"),
                'conexiones_database_connections{use="read"}': last("0"),
            }
        ],
    ),
    "ConexionesDatabaseSlow": (
        [
            histogram("conexiones_commit_duration_seconds", "", 90, 10)
            | {"conexiones_database_waiting{}": last("0")}
        ],
        [
            histogram("conexiones_commit_duration_seconds", "", 90, 10),
            histogram("conexiones_commit_duration_seconds", "", 100, 0)
            | {"conexiones_database_waiting{}": last("7")},
        ],
    ),
    "ConexionesDatabaseUnsteady": (
        [
            {"conexiones_database_connections_lost_total{}": growing(1)},
            {'conexiones_database_transactions_total{outcome="unknown"}': growing(1)},
        ],
        [
            {
                "conexiones_database_connections_lost_total{}": last("50"),
                'conexiones_database_transactions_total{outcome="committed"}': growing(100),
                'conexiones_database_transactions_total{outcome="unknown"}': last("2"),
            }
        ],
    ),
    "ConexionesObjectsFail": (
        [requests(100) | {'conexiones_objects_request_failures_total{request="PUT"}': growing(3)}],
        [requests(100) | {'conexiones_objects_request_failures_total{request="PUT"}': growing(1)}],
    ),
    "ConexionesObjectsSlow": (
        [histogram("conexiones_objects_request_duration_seconds", 'request="PUT",', 90, 10)],
        [
            histogram("conexiones_objects_request_duration_seconds", 'request="PUT",', 100, 0)
            | histogram("conexiones_objects_request_duration_seconds", 'request="LIST",', 0, 10)
        ],
    ),
    "ConexionesNoSweep": (
        [swept(last("0")), swept(growing(1))],
        [swept(growing(60)), swept(last("0")) | {"process_uptime_seconds{}": last("60")}],
    ),
    "ConexionesDutiesLeft": ([{"conexiones_duties{}": last("16")}], [{"conexiones_duties{}": last("17")}]),
    "ConexionesDecodersDie": (
        [{'conexiones_decoder_deaths_total{pool="prompt",cause="CRASH"}': growing(2)}],
        [
            {'conexiones_decoder_deaths_total{pool="prompt",cause="CRASH"}': last("5")},
            {'conexiones_decoder_deaths_total{pool="prompt",cause="STOPPED"}': growing(2)},
        ],
    ),
    "ConexionesDamage": (
        [
            {"conexiones_verify_damaged{}": last("1")},
            {'conexiones_refusals_total{reason="BLOB_CORRUPT"}': growing(1)},
        ],
        [
            {"conexiones_verify_damaged{}": last("0")},
            {'conexiones_refusals_total{reason="BLOB_CORRUPT"}': last("3")},
            {'conexiones_refusals_total{reason="IMAGE_NOT_FOUND"}': growing(1)},
        ],
    ),
    "ConexionesUploadsFail": (
        [{'conexiones_uploads_ended_total{outcome="FAILED"}': growing(1)}],
        [
            {'conexiones_uploads_ended_total{outcome="FAILED"}': last("3")},
            {'conexiones_uploads_ended_total{outcome="REJECTED"}': growing(1)},
        ],
    ),
    "ConexionesCertificateExpires": (
        [{"envoy_server_days_until_first_cert_expiring{}": last("13")}],
        [{"envoy_server_days_until_first_cert_expiring{}": last("4294967295")}],
    ),
    "ConexionesPushFails": (
        [
            {'conexiones_otlp_pushes_total{signal="metrics",outcome="failed"}': growing(1)},
            {
                'conexiones_otlp_pushes_total{signal="metrics",outcome="failed"}': growing(1),
                'conexiones_otlp_pushes_total{signal="metrics",outcome="ok"}': last("10"),
            },
        ],
        [
            {'conexiones_otlp_pushes_total{signal="metrics",outcome="ok"}': growing(1)},
            {
                'conexiones_otlp_pushes_total{signal="metrics",outcome="failed"}': growing(1),
                'conexiones_otlp_pushes_total{signal="metrics",outcome="ok"}': growing(1),
            },
        ],
    ),
    "ConexionesWatchBehind": (
        [
            {"conexiones_watch_behind{}": last("20000")},
            {"conexiones_watch_resyncs_total{}": growing(2)},
        ],
        [{"conexiones_watch_behind{}": last("100"), "conexiones_watch_resyncs_total{}": last("7")}],
    ),
    "ConexionesDescriptors": (
        [
            {
                'conexiones_process_descriptors{process="server"}': last("900"),
                "conexiones_process_descriptors_limit{}": last("1000"),
            }
        ],
        [
            {
                'conexiones_process_descriptors{process="server"}': last("100"),
                'conexiones_process_descriptors{process="decoder"}': last("1000"),
                "conexiones_process_descriptors_limit{}": last("1000"),
            }
        ],
    ),
}


def promtool(*arguments: str, said: str | None = None) -> str:
    """What it prints. It has to succeed."""
    program = need("promtool", "apt install prometheus")
    ran = subprocess.run(
        [program, *arguments], input=said, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_rules_and_the_example_are_right() -> None:
    promtool("check", "rules", "--lint-fatal", str(RULES))
    promtool("check", "config", str(RULES.with_name("prometheus.yml")))


def test_each_alert_fires_when_it_should_and_else_does_not(tmp_path: Path) -> None:
    """All cases are one run of promtool, the first ones of all alerts together, then the second ones, each as
    an instance of its own: what an alert sums over instances is of one case."""
    assert sorted(CASES) == sorted(NAMES)
    most = max(len(firing) + len(quiet) for firing, quiet in CASES.values())
    tests: list[tuple[list[object], list[object]]] = [([], []) for _ in range(most)]
    for name, (firing, quiet) in CASES.items():
        for number, series in enumerate([*firing, *quiet]):
            given, expected = tests[number]
            instance = f"{name} {number}"
            given += [
                {
                    "series": what.replace("{", f'{{job="conexiones",instance="{instance}",', 1),
                    "values": values,
                }
                for what, values in series.items()
            ]
            alerts = f'ALERTS{{alertname="{name}", alertstate="firing", instance=~"{instance}|"}}'
            fires = [{"labels": "{}", "value": 1}] if number < len(firing) else []
            expected.append({"expr": f"max({alerts})", "eval_time": f"{MINUTES}m", "exp_samples": fires})
    all_tests = [
        {"interval": "1m", "input_series": given, "promql_expr_test": expected} for given, expected in tests
    ]
    file = tmp_path / "alerts.test.yml"  # JSON is YAML, too
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": all_tests}))
    promtool("test", "rules", str(file))


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_says_what_to_do(name: str) -> None:
    rule = RULES.read_text().partition(f"- alert: {name}\n")[2].partition("- alert: ")[0]
    for needed in ("severity: ", "summary: ", "description: "):
        assert needed in rule
    page, _, anchor = re.search(r"runbook: docs/(.*)", rule)[1].partition("#")  # type: ignore[index]
    assert anchor == name.lower()
    assert f"## {name}\n" in (ROOT / "docs" / page).read_text()
