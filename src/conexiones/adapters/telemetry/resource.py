"""What the environment says of telemetry, as everywhere with OpenTelemetry
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables): whether and where it is
pushed, and the resource that it is of.

Nothing of OpenTelemetry's SDK is imported here: it takes memory, and few servers push.
"""

import logging
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from conexiones import __version__
from conexiones.metrics import Counters, Metrics

Signal = Literal["metrics", "traces"]
Protocol = Literal["grpc", "http/protobuf"]

SERVICE = "conexiones"

_PORTS: dict[Protocol, int] = {"grpc": 4317, "http/protobuf": 4318}

_INSTANCE = str(uuid.uuid4())

log = logging.getLogger("conexiones.telemetry")


@dataclass(frozen=True, slots=True)
class Push:
    """That a signal is pushed, in which protocol, and where to as people know it. The exporters of the SDK
    read the endpoint, headers, certificates and so on by themselves."""

    protocol: Protocol
    endpoint: str


def push(signal: Signal, environ: Mapping[str, str] = os.environ) -> Push | None:
    """Whether and how to push: where an endpoint is given or the exporter `otlp` is asked for, unless
    something turns it off. What has no meaning is logged, and left out."""
    name = signal.upper()

    def value(*variables: str) -> str:
        """The first of them that is set; an empty one is not."""
        return next((found for each in variables if (found := environ.get(each, "").strip())), "")

    if value("OTEL_SDK_DISABLED").lower() == "true":
        return None
    exporters = [each.strip().lower() for each in value(f"OTEL_{name}_EXPORTER").split(",") if each.strip()]
    if unknown := [each for each in exporters if each not in ("otlp", "none")]:
        log.warning("OTEL_%s_EXPORTER takes otlp or none, not %s", name, ", ".join(unknown))
    endpoint = value(f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    if not ("otlp" in exporters if exporters else endpoint):
        return None
    asked = value(f"OTEL_EXPORTER_OTLP_{name}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL").lower()
    protocol: Protocol = "grpc" if asked == "grpc" else "http/protobuf"
    if asked not in ("", *_PORTS):
        log.warning("OTEL_EXPORTER_OTLP_PROTOCOL takes grpc or http/protobuf, not %s", asked)
    return Push(protocol, _shown(endpoint) or f"http://localhost:{_PORTS[protocol]}")


def pushes(metrics: Metrics) -> Counters:
    """What counts pushes, by signal and outcome: `ok` or `failed`."""
    return metrics.counters(
        "conexiones.otlp.pushes", "{push}", "Pushes by OTLP, by signal and outcome.", ("signal", "outcome")
    )


def attributes(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The attributes of the resource. What has no meaning is logged, and left out: ask once."""
    found = {"service.name": SERVICE, "service.version": __version__, "service.instance.id": _INSTANCE}
    found |= _listed(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    if name := environ.get("OTEL_SERVICE_NAME", "").strip():
        found["service.name"] = name
    # Bytes of the environment that are no UTF-8 come as halves of characters, which nobody can be sent.
    return {_text(name): _text(value) for name, value in found.items()}


def milliseconds(variable: str, default: int, environ: Mapping[str, str] = os.environ) -> float:
    """A time of the environment, in seconds."""
    text = environ.get(variable, "").strip()
    if text.isdecimal() and 0 < int(text) <= 86_400_000:
        return int(text) / 1000
    if text:
        log.warning("%s takes milliseconds, not %s", variable, text)
    return default / 1000


def _shown(endpoint: str) -> str:
    """Without a password or a query, which are not for the log."""
    scheme, slashes, rest = endpoint.partition("//") if "//" in endpoint else ("", "", endpoint)
    return scheme + slashes + re.split("[?&]", rest.rpartition("@")[2])[0]


def without_secrets(text: str) -> str:
    """What an exporter says, without the name and the password that the endpoint may have."""
    return re.sub(r"[^\s'\"/]+:[^\s'\"]*@", "", text)


def _text(said: str) -> str:
    return said.encode(errors="surrogateescape").decode(errors="replace")


def _listed(text: str) -> dict[str, str]:
    """The pairs of a list such as "deployment.environment.name=test,team=a%20b"."""
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    if any(not name.strip() or not equals for name, equals, _ in pairs):
        log.warning("OTEL_RESOURCE_ATTRIBUTES takes name=value,name=value, and not %s", text)
        return {}
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}
