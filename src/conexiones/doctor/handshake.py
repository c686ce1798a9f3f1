"""Checks the steps of a connection one by one: name, TCP, TLS, HTTP/2. gRPC does all of them at once, and
says little about which one failed."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from conexiones.addresses import split
from conexiones.doctor.findings import Finding
from conexiones.sdk.connection import Options

# The client's connection preface (RFC 9113, 3.4) with an empty SETTINGS frame. The server also sends SETTINGS
# first.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
_FRAME_HEADER = 9
_SETTINGS = 4

# X509_V_ERR_… of OpenSSL's x509_vfy.h.
_EXPIRED, _NOT_YET, _WRONG_NAME, _WRONG_IP, _CA_UNKNOWN = 10, 9, 62, 64, {2, 18, 19, 20, 21}
_WARN_DAYS = 14

_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING", "HTTP_REQUEST"}
# What the TLS alerts of the server say about our certificate. With TLS 1.3 they come after the handshake.
_CLIENT_CERTIFICATE = {
    "CERTIFICATE_REQUIRED": ("The server wants a client certificate", "Give --cert and --key."),
    "UNKNOWN_CA": (
        "The server does not know the CA of our certificate",
        "Give --cert of a CA that is the server's --tls-client-ca.",
    ),
    "CERTIFICATE_EXPIRED": ("Our certificate has expired", "Get a new one for --cert."),
    "BAD_CERTIFICATE": ("The server refuses our certificate", "Give another --cert and --key."),
}


class Handshake:
    """`check` yields findings until a step fails. Afterwards `done` tells whether all steps succeeded."""

    def __init__(self, options: Options) -> None:
        self.done = False
        self._options = options
        self._host, self._port = split(options.address)
        self._tls = options.encrypted

    def check(self) -> Iterator[Finding]:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            why = (error.strerror or "unknown").lower()
            yield Finding(
                "name", "FAIL", f"{self._host} has no address: {why}", "Check its spelling, and the DNS here."
            )
            return
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        is_ = "an address" if addresses == [self._host] else ", ".join(addresses)
        yield Finding("name", "ok", f"{self._host} is {is_}")
        tcp = self._connect(addresses)
        yield tcp
        if tcp.state == "FAIL":
            return
        try:
            plain = self._open()
            yield from self._secure_and_speak(plain)
        except OSError as error:
            yield Finding("tcp", "FAIL", f"the connection broke: {_why(error)}", "Try again.")

    def _open(self) -> socket.socket:
        return socket.create_connection((self._host, self._port), timeout=self._options.timeout)

    def _connect(self, addresses: list[str]) -> Finding:
        """Tries each address by itself, because often only some addresses of a name answer."""
        failed: dict[str, OSError] = {}
        for address in addresses:
            try:
                socket.create_connection((address, self._port), timeout=self._options.timeout).close()
            except OSError as error:
                failed[address] = error
        says = "; ".join(f"{address}: {_why(error)}" for address, error in failed.items())
        if not failed:
            return Finding("tcp", "ok", f"port {self._port} is open")
        if len(failed) < len(addresses):
            return Finding("tcp", "ok", f"port {self._port} is open, but not on every address ({says})")
        refused = any(isinstance(error, ConnectionRefusedError) for error in failed.values())
        return Finding(
            "tcp",
            "FAIL",
            f"port {self._port}: {says}",
            "Nothing listens there: start the server (conexiones serve), or correct the port."
            if refused
            else "The way there is blocked: check firewalls, routes, and whether the machine is up.",
        )

    def _secure_and_speak(self, plain: socket.socket) -> Iterator[Finding]:
        with plain:
            if not self._tls:
                yield from self._speak(plain)
                return
            try:
                context = _context(self._options)
            except OSError as error:  # ssl.SSLError is one
                yield Finding(
                    "tls", "FAIL", _unreadable(error, self._options), "Correct --ca, --cert or --key."
                )
                return
            try:
                secure = context.wrap_socket(plain, server_hostname=self._host)
            except OSError as error:
                yield _refusal(error, self._host)
                return
            with secure:
                session = _session(secure)
                try:
                    spoken = list(self._speak(secure))
                except OSError as error:
                    yield _refusal(error, self._host, agreed=True)
                    return
                yield session
                yield from spoken

    def _speak(self, connection: socket.socket) -> Iterator[Finding]:
        agreed = connection.selected_alpn_protocol() if isinstance(connection, ssl.SSLSocket) else "h2"
        head = b""
        # With TLS 1.3 the server checks our certificate after the handshake. Sending may therefore fail while
        # its alert, which says why, has yet to be read.
        with suppress(OSError):
            connection.sendall(_PREFACE)
        try:
            while len(head) < _FRAME_HEADER and (more := connection.recv(_FRAME_HEADER - len(head))):
                head += more
        except OSError as error:
            if isinstance(connection, ssl.SSLSocket) and not isinstance(error, TimeoutError):
                raise
            # Silence and a reset also tell something about the server.
            reset = _why(error)
        else:
            reset = "it hung up"
        if len(head) == _FRAME_HEADER and head[3] == _SETTINGS and agreed == "h2":
            self.done = True
            yield Finding("http/2", "ok", "the server speaks it")
        elif head.startswith(b"HTTP/"):
            yield Finding(
                "http/2",
                "FAIL",
                "the server speaks HTTP/1 only",
                "Another program, or a proxy without HTTP/2 on the way: connect past it.",
            )
        elif not self._tls and self._has_tls():
            yield Finding("tls", "FAIL", "the server wants TLS", "Give --tls, or --ca with its CA.")
        elif head and agreed != "h2":
            yield Finding(
                "http/2",
                "FAIL",
                "TLS agreed on no HTTP/2 (ALPN)",
                "A proxy that ends TLS on the way: have it offer h2.",
            )
        else:
            what = "what answers is not HTTP/2" if head else f"no answer: {reset}"
            yield Finding("http/2", "FAIL", what, "Correct the port: another program listens there.")

    def _has_tls(self) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = (
            ssl.CERT_NONE
        )  # this only finds out whether the server speaks TLS; no data is sent
        try:
            with self._open() as plain, context.wrap_socket(plain):
                return True
        except OSError:
            return False


def _context(options: Options) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ca)
    context.set_alpn_protocols(["h2"])
    if options.cert:
        context.load_cert_chain(options.cert, options.key, password=lambda: "")
    return context


def _unreadable(error: OSError, options: Options) -> str:
    for path in (options.ca, options.cert, options.key):
        try:
            if path:
                Path(path).read_bytes()
        except OSError as why:
            return f"{path}: {_why(why)}"
    if isinstance(error, ssl.SSLError) and "KEY_VALUES_MISMATCH" in (error.reason or ""):
        return f"{options.key} is not the key of {options.cert}"
    return "one of the files is not the PEM that it should be"


def _refusal(error: OSError, host: str, *, agreed: bool = False) -> Finding:
    """Why there is no TLS connection. `agreed`: the handshake had been completed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrust(error, host)
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    for word, (says, mend) in _CLIENT_CERTIFICATE.items():
        if reason.endswith(word):
            return Finding("tls", "FAIL", says[:1].lower() + says[1:], mend)
    if agreed:
        mend = "It may want a client certificate (--cert, --key), or another one."
        return Finding("tls", "FAIL", "the server hung up after the handshake", mend)
    if reason in _NOT_TLS or isinstance(error, ConnectionResetError | ssl.SSLEOFError):
        return Finding("tls", "FAIL", "the server does not speak TLS", "Leave --tls, --ca and --cert out.")
    why = reason.lower().replace("_", " ") or _why(error)
    return Finding("tls", "FAIL", f"the handshake failed: {why}", "Compare the TLS settings of both sides.")


def _distrust(error: ssl.SSLCertVerificationError, host: str) -> Finding:
    code = error.verify_code
    if code == _EXPIRED:
        return Finding(
            "tls", "FAIL", "the server's certificate has expired", "Renew it, or set this machine's clock."
        )
    if code == _NOT_YET:
        return Finding(
            "tls", "FAIL", "the server's certificate is not valid yet", "Set the clocks of both machines."
        )
    if code in {_WRONG_NAME, _WRONG_IP}:
        return Finding(
            "tls",
            "FAIL",
            f"the server's certificate is not for {host}",
            "Use a name that it has, or make it one: conexiones certs --host NAME.",
        )
    if code in _CA_UNKNOWN:
        return Finding(
            "tls",
            "FAIL",
            "the server's certificate is of a CA that is not trusted here",
            "Give --ca with the CA that signed it.",
        )
    return Finding(
        "tls", "FAIL", f"the server's certificate is not valid: {error.verify_message}", "Get it another one."
    )


def _session(secure: ssl.SSLSocket) -> Finding:
    cipher = secure.version()
    ends = str((secure.getpeercert() or {}).get("notAfter", ""))
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)
    days = (end - datetime.now(UTC)).days
    says = f"{cipher}, certificate valid until {end:%Y-%m-%d}"
    if days < _WARN_DAYS:
        return Finding("tls", "warn", f"{says}: {days} days left", "Renew the server's certificate.")
    return Finding("tls", "ok", says)


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror or "unknown").lower()
