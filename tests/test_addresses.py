"""HOST:PORT, as people write it and as they get it wrong."""

import pytest

from conexiones.addresses import split

GIVE = "give HOST:PORT, such as localhost:50051."


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:50051", "localhost", 50051),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:65535", "::1", 65535),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
        ("dns:50051", "dns", 50051),
    ],
)
def test_host_and_port(text: str, host: str, port: int) -> None:
    assert split(text) == (host, port)


def test_port_0_is_for_servers_alone() -> None:
    assert split("[::]:0", any_port=True) == ("::", 0)
    with pytest.raises(ValueError, match="ports are 1 to 65535"):
        split("localhost:0")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", f"The address is empty: {GIVE}"),
        (" ", f"The address is empty: {GIVE}"),
        ("localhost", f"The address 'localhost' has no port: {GIVE}"),
        ("host:", "The address 'host:' has no port: give HOST:PORT, such as host:50051."),
        ("[::1]", "The address '[::1]' has no port: give HOST:PORT, such as [::1]:50051."),
        (":50051", f"The address ':50051' has no host: {GIVE}"),
        ("50051", f"The address '50051' has no host: {GIVE}"),
        ("host:80000", "The address 'host:80000' has the port 80000: ports are 1 to 65535."),
        ("host:http", f"The port of the address 'host:http' is not a number: {GIVE}"),
        ("host:-1", f"The port of the address 'host:-1' is not a number: {GIVE}"),
        ("host:٣", f"The port of the address 'host:٣' is not a number: {GIVE}"),
        ("http://host:1", "The address 'http://host:1' is a URL: give HOST:PORT, such as host:1."),
        ("HTTP://host", "The address 'HTTP://host' is a URL: give HOST:PORT, such as host:50051."),
        (
            "https://ana@host:1/?x",
            "The address 'https://ana@host:1/?x' is a URL: give HOST:PORT, such as host:1, and turn TLS on.",
        ),
        ("dns:///host:1", f"The address 'dns:///host:1' is a URL: {GIVE}"),
        ("::1", "In the address '::1', an IPv6 address needs brackets, as in [::1]:50051."),
        ("[host]:1", "The address '[host]:1' is not of the form [IPV6]:PORT, such as [::1]:50051."),
        ("[::1]1", "The address '[::1]1' is not of the form [IPV6]:PORT, such as [::1]:50051."),
        ("fe80::a:b", "In the address 'fe80::a:b', an IPv6 address needs brackets, as in [fe80::a:b]:50051."),
        ("a:b:c", "In the address 'a:b:c', an IPv6 address needs brackets, as in [::1]:50051."),
        ("host:1/path", "The address 'host:1/path' is not of the form HOST:PORT, such as localhost:50051."),
        ("ho st:1", "The address 'ho st:1' is not of the form HOST:PORT, such as localhost:50051."),
        ("host:1\n", "The address 'host:1\\n' is not of the form HOST:PORT, such as localhost:50051."),
        ("a:1,b:2", "The address 'a:1,b:2' is not of the form HOST:PORT, such as localhost:50051."),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        split(text)
    assert str(caught.value) == says
