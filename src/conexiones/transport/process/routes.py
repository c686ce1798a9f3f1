"""Envoy's routes, in a file that it watches: with or without the filter that counts calls without an answer.

The filter costs a tenth of what a small call costs. So it is switched on only when clients reset many calls
(pressure.py), and off again when that is over.
"""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from conexiones.settings import Settings
from conexiones.transport.process.unanswered import FILTER

CALM_SECONDS = 10.0
"""Time without an alarm after which calls are no longer counted."""

TYPE = "type.googleapis.com/envoy."
_NAME = "ours"
_FILE = "routes.json"
_ON = {"@type": f"{TYPE}config.route.v3.FilterConfig", "config": {}}


def source(folder: Path) -> dict[str, Any]:
    """Where a connection manager finds the routes."""
    return {
        "route_config_name": _NAME,
        "config_source": {
            "path_config_source": {"path": str(folder / _FILE)},
            "resource_api_version": "V3",
        },
    }


class Routes:
    """The file, in the private folder of a server. It has to be written before Envoy starts."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._origins = settings.cors_origins
        self._alarm = asyncio.Event()

    def write(self, *, counting: bool) -> None:
        """Replaces the file as a whole, since Envoy sees only renames. Raises OSError."""
        filters: dict[str, Any] = {}
        if self._origins:
            filters["envoy.filters.http.cors"] = _cors(self._origins)
        if counting:
            filters[FILTER] = _ON
        routes = {
            "@type": f"{TYPE}config.route.v3.RouteConfiguration",
            "name": _NAME,
            "virtual_hosts": [
                {
                    "name": _NAME,
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "nowhere"}}],
                    "typed_per_filter_config": filters,
                }
            ],
        }
        fresh = self._folder / f"{_FILE}.new"
        fresh.write_text(json.dumps({"resources": [routes]}), "utf-8")
        fresh.replace(self._folder / _FILE)

    def alarm(self) -> None:
        """Clients reset many calls."""
        self._alarm.set()

    async def watch(self) -> None:
        """Switches the filter on at an alarm and off when there were none for a while, until cancelled."""
        while True:
            await self._alarm.wait()
            with suppress(OSError):
                self.write(counting=True)
            with suppress(TimeoutError):
                while True:
                    self._alarm.clear()
                    # Unlike wait_for of Python 3.11, it loses no cancellation that comes with an alarm.
                    async with asyncio.timeout(CALM_SECONDS):
                        await self._alarm.wait()
            with suppress(OSError):
                self.write(counting=False)


def _cors(origins: tuple[str, ...]) -> dict[str, Any]:
    return {
        "@type": f"{TYPE}extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [
            {"safe_regex": {"regex": ".*"}} if origin == "*" else {"exact": origin} for origin in origins
        ],
        "allow_methods": "GET, HEAD, POST, OPTIONS",
        "allow_headers": "authorization, connect-content-encoding, connect-protocol-version,"
        " connect-timeout-ms, content-encoding, content-type, grpc-encoding, grpc-timeout, if-none-match,"
        " if-range, range, traceparent, tracestate, x-grpc-web, x-request-id, x-user-agent",
        "expose_headers": "accept-ranges, content-disposition, content-range, etag, grpc-message,"
        " grpc-retry-pushback-ms, grpc-status, grpc-status-details-bin, retry-after, x-request-id",
        "max_age": "7200",
    }
