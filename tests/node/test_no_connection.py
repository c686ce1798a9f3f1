"""What the Node.js SDK says if the server speaks TLS otherwise than the client, or is not there at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conexiones.testing import Server
from tests.support.certificates import authority, mtls, tls
from tests.support.lengths import EVERY_STEP
from tests.support.node import PACKAGE, run

# Every kind of call, or those that are named, by each client. The clients are given as {name: options}, where
# `calls` names those of that client.
PROGRAM = """
import { Client } from "conexiones";
process.noDeprecation = true;
const calls = {
  limits: (client) => client.limits(),
  upload: (client) => client.upload(new Uint8Array(9)),
  download: (client) => client.download("none"),
  watch: (client) => client.watch().next(),
  processImage: (client) => client.processImage(new Uint8Array(9)),
  streamImage: (client) => client.streamImage(new Uint8Array(9)),
  imageStream: (client) => client.imageStream([new Uint8Array(9)]).next(),
};
const said = {};
for (const [name, { calls: some, ...options }] of Object.entries(JSON.parse(process.argv[2]))) {
  for (const [call, made] of Object.entries(calls)) {
    if (some && !some.includes(call)) continue;
    const client = new Client(options);
    const error = await made(client).catch((error) => error);
    const { name: kind, message, mensaje, facts, certain } = error;
    const key = JSON.stringify({ kind, message, mensaje, facts, certain });
    (said[name] ??= {})[key] = true;
    client.close();
  }
}
for (const [name, answers] of Object.entries(said)) said[name] = Object.keys(answers).map(JSON.parse);
console.log(JSON.stringify(said));
"""


def test_tls_mix_ups_are_told_at_once_and_in_plain_words(
    node: str, start: Callable[..., Server], tmp_path: Path
) -> None:
    """Whoever tried each call for ten seconds would not be done within the time of this test."""
    folders = {name: tmp_path / name for name in ("good", "other", "elsewhere")}
    for name, folder in folders.items():
        folder.mkdir()
        authority(folder, "elsewhere.example" if name == "elsewhere" else "localhost")
    good, other, elsewhere = folders.values()
    servers = {
        "plain": start(),
        "tls": start(**tls(good)),
        "mtls": start(**mtls(good)),
        "named": start(**tls(elsewhere)),
    }
    place = {name: f"localhost:{server.port}" for name, server in servers.items()}
    ca = {"ca": str(good / "ca.pem")}
    stranger = {"cert": str(other / "client.pem"), "key": str(other / "client.key")}
    unknown = "its certificate is of a CA that is not trusted here: give ca"
    no_tls = "it does not speak TLS: leave tls, ca and cert out"
    wants_tls = "it wants TLS: give tls, or ca with its CA"
    refusals: dict[str, tuple[str, dict[str, Any], str]] = {
        "without TLS": ("tls", {}, wants_tls),
        "without TLS, by a name for DNS": ("tls", {"address": f"dns:///{place['tls']}"}, wants_tls),
        "without TLS, and a certificate is wanted, too": ("mtls", {}, wants_tls),
        "TLS for nothing": ("plain", {"tls": True}, no_tls),
        "a CA for nothing": ("plain", ca, no_tls),
        "the CAs of the system": ("tls", {"tls": True}, unknown),
        "another CA": ("tls", {"ca": str(other / "ca.pem")}, unknown),
        "no certificate": ("mtls", ca, "it may want a client certificate: give cert and key"),
        "a certificate of another CA": (
            "mtls",
            {**ca, **stranger},
            "it refuses this client's certificate: give another cert and key",
        ),
        "another name": (
            "named",
            {"ca": str(elsewhere / "ca.pem")},
            "its certificate is for another name",
        ),
    }
    given: dict[str, dict[str, Any]] = {
        name: {"address": place[server], **options} for name, (server, options, _) in refusals.items()
    }
    if not EVERY_STEP:
        # What is wrong is found out by the connection, whichever call needs it.
        for name in refusals.keys() - {"without TLS", "no certificate"}:
            given[name]["calls"] = ["limits", "streamImage"]
    for name, answers in answered(given, tmp_path, node).items():
        address, why = given[name]["address"], refusals[name][2]
        assert answers == [
            {
                "kind": "UnreachableError",
                "message": f"No server answers at {address}: {why}.",
                "mensaje": f"Ningún servidor responde en {address}: {why}.",
                "facts": {"address": address, "why": why},
                "certain": True,
            }
        ], name


def test_a_server_that_is_not_there_is_named(node: str, tmp_path: Path) -> None:
    """It may come, so calls that may be repeated are tried for a while."""
    options = {"timeoutMs": 5000, "calls": ["limits", "processImage", "streamImage", "imageStream"]}
    given = {
        "nobody listens": {"address": "localhost:1", **options},
        "no such host": {"address": "nowhere.invalid:1", **options},
    }
    said = answered(given, tmp_path, node)
    nobody = {answer["message"] for answer in said["nobody listens"]}
    refused = "No server answers at localhost:1: connect ECONNREFUSED"
    assert nobody
    assert nobody <= {f"{refused} 127.0.0.1:1.", f"{refused} ::1:1."}
    assert {answer["message"] for answer in said["no such host"]} == {
        "No server answers at nowhere.invalid:1: its host is not known."
    }


def answered(given: dict[str, Any], folder: Path, node: str) -> dict[str, list[dict[str, Any]]]:
    """What the clients were told, each answer once."""
    (folder / "calls.mjs").write_text(PROGRAM)
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "conexiones").symlink_to(PACKAGE)
    said: dict[str, list[dict[str, Any]]] = json.loads(
        run(node, "calls.mjs", json.dumps(given), folder=folder)
    )
    return said
