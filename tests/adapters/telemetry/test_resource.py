"""What the environment says of telemetry."""

import pytest
from opentelemetry.util.re import parse_env_headers

from conexiones import __version__
from conexiones.adapters.telemetry.exporters_log import hide_headers
from conexiones.adapters.telemetry.resource import (
    Push,
    attributes,
    milliseconds,
    push,
    without_secrets,
)

HTTP, GRPC = Push("http/protobuf", "http://c:4318"), Push("grpc", "http://c:4317")
AT_HTTP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
AT_GRPC = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, None),
        (AT_HTTP, HTTP),
        (AT_GRPC, GRPC),
        (
            {**AT_GRPC, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf"},
            Push("http/protobuf", "http://c:4317"),
        ),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318"}, HTTP),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:b@c:4318"}, HTTP),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:b@c:4318//x"}, Push("http/protobuf", "http://c:4318//x")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "a:b@c:4318?key=d"}, Push("http/protobuf", "c:4318")),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, Push("http/protobuf", "http://localhost:4318")),
        (
            {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            Push("grpc", "http://localhost:4317"),
        ),
        ({**AT_HTTP, "OTEL_METRICS_EXPORTER": "none"}, None),
        ({**AT_HTTP, "OTEL_METRICS_EXPORTER": "otlp"}, HTTP),
        ({**AT_HTTP, "OTEL_TRACES_EXPORTER": "none"}, HTTP),
        ({**AT_HTTP, "OTEL_SDK_DISABLED": "True"}, None),
        ({**AT_HTTP, "OTEL_SDK_DISABLED": "false"}, HTTP),
    ],
)
def test_whether_metrics_are_pushed(environ: dict[str, str], expected: Push | None) -> None:
    assert push("metrics", environ) == expected


@pytest.mark.parametrize(
    "environ",
    [
        {**AT_HTTP, "OTEL_METRICS_EXPORTER": "console"},
        {**AT_HTTP, "OTEL_METRICS_EXPORTER": "otlp,prometheus"},
        {**AT_HTTP, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
    ],
)
def test_what_has_no_meaning_is_told(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    push("metrics", environ)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert " takes " in record.getMessage()


def test_the_resource(caplog: pytest.LogCaptureFixture) -> None:
    bare = attributes({})
    assert (bare["service.name"], bare["service.version"]) == ("conexiones", __version__)
    assert attributes({})["service.instance.id"] == bare["service.instance.id"]
    named = attributes(
        {
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=a, team = x%20y%3D ,service.instance.id=7",
            "OTEL_SERVICE_NAME": "b",
        }
    )
    assert named == {**bare, "service.name": "b", "team": "x y=", "service.instance.id": "7"}
    assert not caplog.records
    assert attributes({"OTEL_RESOURCE_ATTRIBUTES": "team=a,b"}) == bare
    assert len(caplog.records) == 1
    latin1 = b"caf\xe9".decode(errors="surrogateescape")
    assert attributes({"OTEL_SERVICE_NAME": latin1})["service.name"] == "caf\ufffd"


def test_what_an_exporter_says_has_no_password() -> None:
    said = "No connection adapters were found for 'ana:secret@c:4318/v1/metrics'"
    assert without_secrets(said) == "No connection adapters were found for 'c:4318/v1/metrics'"


def test_headers_that_cannot_be_read_are_not_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer secret")
    hide_headers()
    assert parse_env_headers("Authorization: Bearer secret", liberal=True) == {}
    assert "OTEL_EXPORTER_OTLP_HEADERS takes name=value" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(("text", "seconds"), [("", 60), ("1500", 1.5), ("0", 60), ("-1", 60), ("soon", 60)])
def test_times(text: str, seconds: float) -> None:
    assert (
        milliseconds("OTEL_METRIC_EXPORT_INTERVAL", 60_000, {"OTEL_METRIC_EXPORT_INTERVAL": text}) == seconds
    )
