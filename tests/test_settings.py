"""The settings, as far as no server is needed to see what they mean."""

from dataclasses import fields

import pytest

from conexiones.settings import Settings, SettingsError, misspelt, variable


def test_a_variable_that_is_nearly_a_setting_is_found() -> None:
    assert misspelt({"CONEXIONES_ADRESS": "x", "CONEXIONES_AUHT": "x", "CONEXIONES_QUOTA_BYTE": "x"}) == {
        "CONEXIONES_ADRESS": "CONEXIONES_ADDRESS",
        "CONEXIONES_AUHT": "CONEXIONES_AUTH",
        "CONEXIONES_QUOTA_BYTE": "CONEXIONES_QUOTA_BYTES",
    }


def test_variables_of_others_are_none_of_the_server() -> None:
    clients = ("TOKEN", "TOKEN_FILE", "TIMEOUT", "TLS", "CA", "CERT", "KEY", "INSECURE_TOKEN", "CONTROL_FD")
    orchestrator = ("PORT", "SERVICE_HOST", "SERVICE_PORT", "PORT_50051_TCP", "PORT_50051_TCP_ADDR")
    names = [f"CONEXIONES_{name}" for name in (*clients, *orchestrator)]
    names += [variable(row) for row in fields(Settings)]
    assert misspelt(dict.fromkeys([*names, "ADRESS"], "x")) == {}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://[::1", "127.0.0.1:8333"]
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="takes a URL such as https://HOST:PORT"):
        Settings.load({"CONEXIONES_S3_ENDPOINT": url})
