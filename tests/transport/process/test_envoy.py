"""Envoy's configuration: settings whose absence only hours of waiting, or an attack, would show."""

import socket
from pathlib import Path

import pytest

from conexiones.settings import Settings
from conexiones.transport.process import descriptors
from conexiones.transport.process.address import Address
from conexiones.transport.process.envoy import configuration
from conexiones.transport.process.routes import source

TLS = {"tls_cert": Path("/cert"), "tls_key": Path("/key")}


def managers(**settings):
    config = configuration(
        Settings(**{"memory": 16 << 30, **settings}), Address("127.0.0.1", 1), app="a:b", folder=Path("/own")
    )
    return config, [
        network["typed_config"]
        for listener in config["static_resources"]["listeners"]
        for chain in listener["filter_chains"]
        for network in chain["filters"]
    ]


@pytest.mark.parametrize("settings", [{}, TLS, {**TLS, "tls_client_ca": Path("/ca")}])
def test_every_listener(settings) -> None:
    config, found = managers(**settings)
    assert len(found) == (2 if settings == TLS else 1)
    for manager in found:
        # By default Envoy ends a stream that is idle for five minutes.
        assert manager["stream_idle_timeout"] == "0s"
        assert manager["request_headers_timeout"] == "5s"
        # A header in which clients name themselves is ignored.
        assert (manager["use_remote_address"], manager["xff_num_trusted_hops"]) == (True, 0)
        names = [entry["name"] for entry in manager["http_filters"]]
        http = [f"envoy.filters.http.{name}" for name in ("lua", "cors", "grpc_web", "rbac")]
        assert names == [*http, "pyvoy"]
        assert manager["rds"] == source(Path("/own"))
        if manager.get("codec_type") != "HTTP3":
            options = manager["http2_protocol_options"]
            assert options["initial_stream_window_size"] == 1 << 20
            assert options["initial_connection_window_size"] == 8 << 20
            assert options["connection_keepalive"]["interval"] == "30s"
    for listener in config["static_resources"]["listeners"]:
        assert listener["per_connection_buffer_limit_bytes"] == 1 << 20
        assert listener.get("enable_reuse_port", True) == ("udp_listener_config" in listener)
    assert config["admin"]["address"] == {"pipe": {"path": "/own/admin.sock", "mode": 0o600}}
    assert config["overload_manager"]["resource_monitors"]


@pytest.mark.parametrize("proxies", [0, 1])
def test_every_listener_removes_our_headers_and_verifies_jwts(proxies: int) -> None:
    _, found = managers(**TLS, jwt_issuer="a", jwt_keys="/keys", trusted_proxies=proxies)
    assert [manager.get("codec_type") for manager in found].count("HTTP3") == 1
    for manager in found:
        (early,) = manager["early_header_mutation_extensions"]
        removed, *added = early["typed_config"]["mutations"]
        assert removed == {"remove_on_match": {"key_matcher": {"prefix": "x-conexiones-"}}}
        # A proxy that is trusted names the request; otherwise Envoy does.
        kinds = [kind for mutation in added for kind in mutation]
        assert kinds == (["append"] if proxies else ["remove"])
        assert [entry["name"] for entry in manager["http_filters"]][-2:] == ["jwt", "pyvoy"]


def test_http3_is_off_with_mtls() -> None:
    _, found = managers(**TLS, tls_client_ca=Path("/ca"))
    assert [manager.get("codec_type") for manager in found] == [None]


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:50051", "127.0.0.1", 50051, True),
        ("localhost:1", "127.0.0.1", 1, True),
        ("[::1]:80", "::1", 80, True),
        ("0.0.0.0:0", "0.0.0.0", 0, False),
        ("[::]:65535", "::", 65535, False),
    ],
)
def test_addresses(text: str, host: str, port: int, loopback: bool) -> None:
    address = Address.parse(text)
    if text.startswith("localhost"):
        assert address.host in {"127.0.0.1", "::1"}
    else:
        assert (address.host, str(address)) == (host, text)
    assert (address.port, address.is_loopback) == (port, loopback)


@pytest.mark.parametrize(
    "text", ["", "50051", "host:", ":1", "127.0.0.1:65536", "127.0.0.1:-1", "no.such.host.invalid:1"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="The "):
        Address.parse(text)


def test_a_free_port_can_be_probed_and_a_taken_one_not() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = Address("127.0.0.1", other.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            taken.probe()
    taken.probe()


def test_the_heap_has_a_bound_and_is_given_back() -> None:
    config, found = managers(memory=512 << 20, max_calls=500)
    assert config["memory_allocator_manager"]["bytes_to_release"]
    overload = config["overload_manager"]
    (heap,) = (
        monitor["typed_config"]["max_heap_size_bytes"]
        for monitor in overload["resource_monitors"]
        if monitor["name"].endswith("fixed_heap")
    )
    assert heap < 512 << 20
    names = {action["name"].rpartition(".")[2] for action in overload["actions"]}
    assert {"shrink_heap", "reset_high_memory_stream", "stop_accepting_requests"} <= names
    for manager in found:
        assert manager["stream_flush_timeout"] == "30.0s"  # or a finished reply could lie there for ever
        assert manager["http2_protocol_options"]["initial_stream_window_size"] == 64 << 10


def test_new_connections_have_more_room_than_may_stay() -> None:
    """Unless nobody would close those that are too many."""
    for settings, more in (
        ({}, descriptors.MORE),
        ({"trusted_proxies": 1}, 0),
        ({"proxy_protocol": True}, 0),
    ):
        config, _ = managers(max_connections=500, **settings)
        (most,) = (
            monitor["typed_config"]["max_active_downstream_connections"]
            for monitor in config["overload_manager"]["resource_monitors"]
            if monitor["name"].endswith("max_connections")
        )
        assert most == 500 + more
        (listener,) = config["static_resources"]["listeners"]
        assert listener["tcp_backlog_size"] >= most
