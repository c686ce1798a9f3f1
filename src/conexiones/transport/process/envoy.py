"""Envoy's configuration: that of pyvoy, hardened against clients that nobody vouches for."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import find_libpython
from pyvoy import PyvoyServer

from conexiones.budgets import Budgets
from conexiones.settings import Settings
from conexiones.transport.chain.call import CONNECTION, OURS
from conexiones.transport.process import accept_line, admin, crowd, jwt_keys, routes, tls
from conexiones.transport.process.address import Address
from conexiones.transport.process.local_replies import local_reply_config
from conexiones.transport.process.pressure import overload_manager
from conexiones.transport.process.unanswered import unanswered

HEADERS_SECONDS = 5
"""Time from the first byte of a request to the end of its headers."""

HEADERS_KIB = 16
"""The most that the headers of a request may have together."""

HANDSHAKE_SECONDS = 10
"""Time that a TLS handshake may take."""

TYPE = "type.googleapis.com/envoy.extensions."
_HCM = "envoy.filters.network.http_connection_manager"

_RUNTIME = {
    # Requests that one connection gets served at a time, before those of others get their turn.
    "http.max_requests_per_io_cycle": 8,
    # A connection is closed when its client has reset so many calls within a second of their beginning, and
    # those are more than half of all.
    "overload.premature_reset_total_stream_count": 200,
    "overload.premature_reset_min_stream_lifetime_seconds": 1,
}

_PROXY_PROTOCOL = {
    "name": "envoy.filters.listener.proxy_protocol",
    "typed_config": {"@type": f"{TYPE}filters.listener.proxy_protocol.v3.ProxyProtocol"},
}

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
    server alone, with the socket of admin.py, the file of pressure.py and the certificates of tls.py."""
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
    config["admin"] = {"address": {"pipe": {"path": str(folder / admin.SOCKET), "mode": 0o600}}}
    config["static_resources"].setdefault("clusters", []).append(_NOWHERE)
    budgets = settings.budgets
    config["layered_runtime"] = {"layers": [{"name": "ours", "static_layer": _RUNTIME}]}
    config["overload_manager"] = overload_manager(
        folder, settings.max_connections + crowd.burst(settings), budgets.heap
    )
    config["memory_allocator_manager"] = _ALLOCATOR
    for listener in config["static_resources"]["listeners"]:
        listener["per_connection_buffer_limit_bytes"] = budgets.window
        if "udp_listener_config" not in listener:
            # With SO_REUSEPORT a second server would start silently and share the traffic.
            listener["enable_reuse_port"] = False
            listener["tcp_backlog_size"] = accept_line.LONGEST
            # So few that thousands of new connections do not hold up those that are there.
            listener["max_connections_to_accept_per_socket_event"] = 4
            for chain in listener["filter_chains"]:
                if "transport_socket" in chain:
                    chain["transport_socket_connect_timeout"] = f"{HANDSHAKE_SECONDS}s"
            if settings.proxy_protocol:
                listener["listener_filters"] = [_PROXY_PROTOCOL]
                listener["listener_filters_timeout"] = f"{HEADERS_SECONDS}s"
    for manager in _managers(config):
        _harden(manager, settings, budgets, folder)
    # Envoy insists on a node id where it watches files for secrets.
    config["node"] = {"id": "conexiones", "cluster": "conexiones"}
    for context in _tls_contexts(config):
        context["tls_params"] = {"tls_minimum_protocol_version": "TLSv1_2"}
        tls.use(context, folder)
    return config


def http3(settings: Settings) -> bool:
    """Whether HTTP/3 is served, on the same port over UDP.

    Not with mTLS: pyvoy's QUIC listener does not ask for client certificates, and would be a way around it.
    Nor with the PROXY protocol, which is one of TCP.
    """
    return bool(settings.tls_cert and not settings.tls_client_ca and not settings.proxy_protocol)


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


def _harden(manager: dict[str, Any], settings: Settings, budgets: Budgets, folder: Path) -> None:
    """Filters, timeouts and limits of one HTTP connection manager."""
    manager["http_filters"] = [
        unanswered(settings.max_calls),
        _filter("cors", "cors.v3.Cors"),
        _filter("grpc_web", "grpc_web.v3.GrpcWeb"),
        _ascii_paths(),
        *jwt_keys.filters(settings, folder),
        *manager["http_filters"],
    ]
    del manager["route_config"]
    manager["rds"] = routes.source(folder)
    # How long streams may be silent is decided in chain/patience.py. The keepalive finds dead connections.
    manager["stream_idle_timeout"] = "0s"
    # Applies when the call has ended: its reply has to be read, at least a part of it in this time.
    manager["stream_flush_timeout"] = f"{settings.stall_seconds}s"
    manager["request_headers_timeout"] = f"{HEADERS_SECONDS}s"
    manager["max_request_headers_kb"] = HEADERS_KIB
    manager["common_http_protocol_options"] = {
        "idle_timeout": f"{settings.idle_seconds}s",
        "max_headers_count": 100,
        **_age(settings.max_connection_age),
    }
    manager["http1_safe_max_connection_duration"] = True
    manager["local_reply_config"] = local_reply_config()
    # Users can quote the id of a request to whoever has the log. Only proxies that are trusted choose it.
    manager["generate_request_id"] = True
    manager["always_set_request_id_in_response"] = True
    manager["preserve_external_request_id"] = bool(settings.trusted_proxies)
    # Two GOAWAY go out: at once, and this much later, after which a connection without calls is closed. A
    # client that has not read the first by then may begin a call that is not taken.
    manager["drain_timeout"] = "5s"
    # The client is the peer, or what the proxies that are trusted say; clients cannot add to that.
    manager["use_remote_address"] = True
    manager["xff_num_trusted_hops"] = settings.trusted_proxies
    manager["early_header_mutation_extensions"] = [_our_headers(settings)]
    # Envoy removes the header that clients send. With a client CA it sets its own for verified certificates:
    # the whole of them, since other names than the subject stand between delimiters that they may contain.
    if settings.tls_client_ca:
        manager["forward_client_cert_details"] = "SANITIZE_SET"
        manager["set_current_client_cert_details"] = {"cert": True, "subject": True}
    if manager.get("codec_type") == "HTTP3":
        manager["http3_protocol_options"] = {
            "quic_protocol_options": {
                "max_concurrent_streams": min(100, budgets.streams),
                "initial_stream_window_size": budgets.window,
                "initial_connection_window_size": budgets.connection_window,
            }
        }
        return
    manager["http2_protocol_options"] = {
        "max_concurrent_streams": budgets.streams,
        "initial_stream_window_size": budgets.window,
        "initial_connection_window_size": budgets.connection_window,
        # SETTINGS_MAX_FRAME_SIZE, for which Envoy has no field. Parts of a frame are passed on as they come.
        "custom_settings_parameters": [{"identifier": 5, "value": 2**18}],
        "connection_keepalive": {"interval": "30s", "timeout": "20s"},
    }


def _age(seconds: float) -> dict[str, Any]:
    """How long a connection takes new calls. Those of a moment do not all end in another one."""
    if not seconds:
        return {}
    return {"max_connection_duration": f"{seconds}s", "max_connection_duration_jitter": {"value": 25}}


def _our_headers(settings: Settings) -> dict[str, Any]:
    """Removes headers of ours from requests before anything else sees them, and adds the right ones."""
    mutations: list[dict[str, Any]] = [{"remove_on_match": {"key_matcher": {"prefix": OURS}}}]
    if not settings.trusted_proxies:
        # Envoy gives each request an id, unless it has one. No client chooses its own.
        mutations.append({"remove": "x-request-id"})
    if settings.trusted_proxies:
        number = {"key": CONNECTION.decode(), "value": "%CONNECTION_ID%"}
        mutations.append({"append": {"header": number, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}})
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{TYPE}http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": mutations,
        },
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
