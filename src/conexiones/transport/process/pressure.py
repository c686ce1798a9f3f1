"""What the supervisor sees in Envoy's statistics: too many connections, and calls that are reset in numbers.

Connections that ask for nothing are closed sooner, the nearer their number comes to the limit.
Envoy can scale its timeouts by the pressure on a resource. It counts connections, but only to refuse those
above the limit. So the supervisor reads the number from Envoy's statistics and writes the pressure, from 0 to
1, to a file that Envoy watches.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from conexiones.transport.process import admin

_TYPE = "type.googleapis.com/envoy.extensions.resource_monitors."
_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_HEAP = "envoy.resource_monitors.fixed_heap"
_INJECTED = "envoy.resource_monitors.injected_resource"
_SCALE = "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig"
_FILE = "pressure"
_STATS = "http.ingress_http.downstream_"
_ACTIVE, _RESETS, _CALLS = f"{_STATS}cx_active", f"{_STATS}rq_rx_reset", f"{_STATS}rq_active"

CALM, FULL = 0.6, 0.85
"""Timeouts shrink from the first of these shares of the connections on, and are shortest from the second."""

SHORTEST_SECONDS = 1
"""How long a connection may ask for nothing while the server is full."""

LOOK_SECONDS, IDLE_LOOK_SECONDS = 0.1, 0.4
"""Time between two looks at Envoy's statistics, and while they do not change and no call is open: each look
costs both processes something, also at night."""

MANY_RESETS = 100
"""So many calls that were reset between two looks are told."""

MANY_CALLS = 500
"""So many calls that Envoy has open are told, too."""

log = logging.getLogger("conexiones.pressure")


def overload_manager(folder: Path, max_connections: int, heap: int) -> dict[str, Any]:
    """Envoy's configuration for it: what it measures, which timeouts it scales, and what it does when its
    memory, `heap` bytes, is nearly used up.

    The budgets of the application keep the heap below these thresholds. Clients that leave finished replies
    unread on thousands of streams may get past them: their streams are reset, largest buffers first.
    """
    shortest = f"{SHORTEST_SECONDS}s"
    return {
        "refresh_interval": "0.1s",
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 15},
        "resource_monitors": [
            {
                "name": _HEAP,
                "typed_config": {
                    "@type": f"{_TYPE}fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": heap,
                },
            },
            {
                "name": _CONNECTIONS,
                "typed_config": {
                    "@type": f"{_TYPE}downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": max_connections,
                },
            },
            {
                "name": _INJECTED,
                "typed_config": {
                    "@type": f"{_TYPE}injected_resource.v3.InjectedResourceConfig",
                    "filename": str(folder / _FILE),
                },
            },
        ],
        "actions": [
            _by_heap("shrink_heap", {"threshold": {"value": 0.6}}),
            _by_heap(
                "reset_high_memory_stream",
                {"scaled": {"scaling_threshold": 0.85, "saturation_threshold": 0.98}},
            ),
            _by_heap("stop_accepting_requests", {"threshold": {"value": 0.98}}),
            {
                "name": "envoy.overload_actions.reduce_timeouts",
                "triggers": [
                    {
                        "name": _INJECTED,
                        "scaled": {"scaling_threshold": CALM, "saturation_threshold": FULL},
                    }
                ],
                "typed_config": {
                    "@type": _SCALE,
                    "timer_scale_factors": [
                        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": shortest},
                        {"timer": "TRANSPORT_SOCKET_CONNECT", "min_timeout": shortest},
                    ],
                },
            },
            {
                # Timeouts of HTTP/3 are QUIC's own, and are not scaled.
                "name": "envoy.overload_actions.close_idle_http_connections",
                "triggers": [
                    {
                        "name": _INJECTED,
                        "scaled": {"scaling_threshold": CALM, "saturation_threshold": FULL},
                    }
                ],
            },
        ],
    }


def _by_heap(name: str, trigger: dict[str, Any]) -> dict[str, Any]:
    """An action of the overload manager, by the pressure on the heap."""
    return {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": _HEAP, **trigger}]}


class Pressure:
    """The file with the pressure, in the private folder of a server. `on_resets` is called when clients reset
    many calls."""

    def __init__(self, folder: Path, max_connections: int, *, on_resets: Callable[[], None]) -> None:
        self._folder = folder
        self._max_connections = max_connections
        self._on_resets = on_resets
        self._resets = 0
        self._written = -1.0

    def write(self, pressure: float) -> None:
        """Replaces the file as a whole, since Envoy sees only renames. Before Envoy starts, it has to be
        there. Raises OSError."""
        if pressure == self._written:
            return
        fresh = self._folder / f"{_FILE}.new"
        fresh.write_text(f"{pressure:.3f}", "ascii")
        fresh.replace(self._folder / _FILE)
        self._written = pressure

    async def watch(self) -> None:
        """Keeps the pressure up to date, until it is cancelled."""
        before: dict[str, int] = {}
        while True:
            found = before
            with suppress(OSError, ValueError, KeyError):
                found = await self._statistics()
                resets, self._resets = found[_RESETS] - self._resets, found[_RESETS]
                if resets >= MANY_RESETS or found[_CALLS] >= MANY_CALLS:
                    self._on_resets()
                pressure = min(1.0, found[_ACTIVE] / self._max_connections)
                # While there is no need, the file is left alone.
                self.write(pressure if pressure > CALM else 0.0)
            idle = found == before and not found.get(_CALLS)
            before = found
            await asyncio.sleep(IDLE_LOOK_SECONDS if idle else LOOK_SECONDS)

    async def _statistics(self) -> dict[str, int]:
        """The connections and the calls that were reset. Raises OSError and ValueError."""
        text = await admin.ask(self._folder, f"/stats?filter=^{_STATS}(cx_active|rq_active|rq_rx_reset)$")
        rows = (line.split(": ") for line in text.decode().splitlines())
        return {name: int(value) for name, value in rows}
