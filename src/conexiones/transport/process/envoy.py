"""Envoy's configuration: that of pyvoy, hardened against clients that nobody vouches for."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import find_libpython
from pyvoy import PyvoyServer

from conexiones.budgets import LEAST, Budgets
from conexiones.settings import Settings
from conexiones.transport.process import tls
from conexiones.transport.process.address import Address

TYPE = "type.googleapis.com/envoy.extensions."
ADMIN = "admin.sock"
_HEAP = "envoy.resource_monitors.fixed_heap"
_HCM = "envoy.filters.network.http_connection_manager"

# A cluster that no request reaches, since pyvoy's filter answers all of them. Envoy's CORS filter wants a
# route, and a route wants a cluster.
_NOWHERE: dict[str, Any] = {
    "name": "nowhere",
    "type": "STATIC",
    "load_assignment": {"cluster_name": "nowhere", "endpoints": []},
}


# Free pages go back to the system within seconds. At each turn the allocator (tcmalloc, which Python inside
# Envoy has, too) gives back up to a tenth of them, however many bytes it is asked for.
_ALLOCATOR = {"bytes_to_release": 1 << 40, "memory_release_interval": "0.1s"}


def configuration(settings: Settings, address: Address, *, app: str, folder: Path) -> dict[str, Any]:
    """The whole configuration. `app` is the ASGI application as module:name. `folder` is a folder of this
    server alone, with the socket ADMIN and the certificates of tls.py."""
    config: dict[str, Any] = PyvoyServer(
        app,
        address=address.host,
        port=address.port,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        tls_ca_cert=settings.tls_client_ca,
        tls_enable_http3=http3(settings),
        lifespan=True,
    ).get_envoy_config()
    # A socket in the private folder, since every user of the machine could reach a port on loopback.
    config["admin"] = {"address": {"pipe": {"path": str(folder / ADMIN), "mode": 0o600}}}
    config["static_resources"].setdefault("clusters", []).append(_NOWHERE)
    budgets = Budgets.of(memory=settings.memory or LEAST, max_calls=settings.max_calls)
    config["overload_manager"] = _overload(settings, budgets)
    config["memory_allocator_manager"] = _ALLOCATOR
    for listener in config["static_resources"]["listeners"]:
        listener["per_connection_buffer_limit_bytes"] = budgets.window
        if "udp_listener_config" not in listener:
            # With SO_REUSEPORT a second server would start silently and share the traffic.
            listener["enable_reuse_port"] = False
    for manager in _managers(config):
        _harden(manager, settings, budgets)
    # Envoy insists on a node id where it watches files for secrets.
    config["node"] = {"id": "conexiones", "cluster": "conexiones"}
    for context in _tls_contexts(config):
        context["tls_params"] = {"tls_minimum_protocol_version": "TLSv1_2"}
        tls.use(context, folder)
    return config


def http3(settings: Settings) -> bool:
    """Whether HTTP/3 is served, on the same port over UDP.

    Not with mTLS: pyvoy's QUIC listener does not ask for client certificates, and would be a way around it.
    """
    return settings.tls_cert is not None and settings.tls_client_ca is None


def environment(settings: Settings) -> dict[str, str]:
    """The variables with which Envoy finds this interpreter and its packages. Raises RuntimeError."""
    return {
        **os.environ,
        **settings.environ(),
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "PYTHONHOME": f"{sys.prefix}{os.pathsep}{sys.exec_prefix}",
        # pyvoy's module is built like an extension and finds Python's symbols in the process.
        "LD_PRELOAD": str(libpython()),
    }


def libpython() -> Path:
    """Python's shared library, which pyvoy needs. Raises RuntimeError that says where to get it."""
    for candidate in map(Path, find_libpython.candidate_paths()):
        if candidate.name.startswith("libpython") and candidate.exists():
            return candidate
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise RuntimeError(
        f"The shared library of Python {version} is missing: on Debian or Ubuntu, apt install"
        f" libpython{version}; elsewhere, a Python built with --enable-shared."
    )


def _managers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for listener in config["static_resources"]["listeners"]:
        for chain in listener["filter_chains"]:
            for network in chain["filters"]:
                if network["name"] == _HCM:
                    yield network["typed_config"]


def _tls_contexts(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for listener in config["static_resources"]["listeners"]:
        for chain in listener["filter_chains"]:
            if socket := chain.get("transport_socket"):
                config = socket["typed_config"]
                yield config.get("downstream_tls_context", config)["common_tls_context"]


def _harden(manager: dict[str, Any], settings: Settings, budgets: Budgets) -> None:
    """Filters, timeouts and limits of one HTTP connection manager."""
    manager["http_filters"] = [
        _ascii_paths(),
        _filter("cors", "cors.v3.Cors"),
        _filter("grpc_web", "grpc_web.v3.GrpcWeb"),
        *manager["http_filters"],
    ]
    host = manager["route_config"]["virtual_hosts"][0]
    host["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "nowhere"}}]
    if settings.cors_origins:
        host["typed_per_filter_config"] = {"envoy.filters.http.cors": _cors(settings.cors_origins)}
    # Streams may be silent for as long as they like. The keepalive finds connections that are dead.
    manager["stream_idle_timeout"] = "0s"
    # Applies when the call has ended: its reply has to be read, at least a part of it in this time.
    manager["stream_flush_timeout"] = f"{settings.stall_seconds}s"
    manager["request_headers_timeout"] = "10s"
    manager["common_http_protocol_options"] = {
        "idle_timeout": f"{settings.idle_seconds}s",
        "max_headers_count": 100,
    }
    manager["use_remote_address"] = True
    # Envoy removes the header that clients send. With a client CA it sets its own for verified certificates.
    if settings.tls_client_ca:
        manager["forward_client_cert_details"] = "SANITIZE_SET"
        manager["set_current_client_cert_details"] = {"subject": True, "uri": True, "dns": True}
    if manager.get("codec_type") == "HTTP3":
        manager["http3_protocol_options"] = {
            "quic_protocol_options": {
                "max_concurrent_streams": 100,
                "initial_stream_window_size": budgets.window,
                "initial_connection_window_size": budgets.connection_window,
            }
        }
        return
    manager["http2_protocol_options"] = {
        "max_concurrent_streams": 1000,
        "initial_stream_window_size": budgets.window,
        "initial_connection_window_size": budgets.connection_window,
        # SETTINGS_MAX_FRAME_SIZE, for which Envoy has no field. Parts of a frame are passed on as they come.
        "custom_settings_parameters": [{"identifier": 5, "value": 2**18}],
        "connection_keepalive": {"interval": "30s", "timeout": "20s"},
    }


def _filter(name: str, message: str) -> dict[str, Any]:
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"{TYPE}filters.http.{message}"},
    }


def _ascii_paths() -> dict[str, Any]:
    """Refuses paths that are not ASCII, also where they are percent-encoded: the server has no such path, and
    pyvoy throws at one that is not UTF-8, so that its request would never be answered."""
    return {
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": f"{TYPE}filters.http.rbac.v3.RBAC",
            "rules": {
                "action": "DENY",
                "policies": {
                    "not ascii": {
                        "permissions": [
                            {"url_path": {"path": {"safe_regex": {"regex": r".*(%[89A-Fa-f]|[^ -~]).*"}}}}
                        ],
                        "principals": [{"any": True}],
                    }
                },
            },
        },
    }


def _cors(origins: tuple[str, ...]) -> dict[str, Any]:
    return {
        "@type": f"{TYPE}filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [
            {"safe_regex": {"regex": ".*"}} if origin == "*" else {"exact": origin} for origin in origins
        ],
        "allow_methods": "GET, HEAD, POST, OPTIONS",
        "allow_headers": "authorization, connect-content-encoding, connect-protocol-version,"
        " connect-timeout-ms, content-encoding, content-type, grpc-encoding, grpc-timeout, if-none-match,"
        " if-range, range, x-grpc-web, x-request-id, x-user-agent",
        "expose_headers": "accept-ranges, content-disposition, content-range, etag, grpc-message,"
        " grpc-status, grpc-status-details-bin",
        "max_age": "7200",
    }


def _overload(settings: Settings, budgets: Budgets) -> dict[str, Any]:
    """What Envoy does by itself when its memory is nearly used up, or there are too many connections.

    The budgets of the application keep the heap below these thresholds. Clients that leave finished replies
    unread on thousands of streams may get past them: their streams are reset, largest buffers first.
    """
    return {
        "refresh_interval": "0.1s",
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 15},
        "actions": [
            _action("shrink_heap", {"threshold": {"value": 0.6}}),
            _action(
                "reset_high_memory_stream",
                {"scaled": {"scaling_threshold": 0.85, "saturation_threshold": 0.98}},
            ),
            _action("stop_accepting_requests", {"threshold": {"value": 0.98}}),
        ],
        "resource_monitors": [
            {
                "name": _HEAP,
                "typed_config": {
                    "@type": f"{TYPE}resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": budgets.heap,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": f"{TYPE}resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": settings.max_connections,
                },
            },
        ],
    }


def _action(name: str, trigger: dict[str, Any]) -> dict[str, Any]:
    """An action of the overload manager, by the pressure on the heap."""
    return {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": _HEAP, **trigger}]}
