"""What the example clients share: their arguments, the connection, and one-sentence error messages."""

import argparse
import gc
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# A client prints one sentence for an error; gRPC's own log would only obscure it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

try:
    import grpc
    from google.protobuf.any_pb2 import Any
    from google.rpc.code_pb2 import Code
    from google.rpc.error_details_pb2 import ErrorInfo, LocalizedMessage
    from google.rpc.status_pb2 import Status

    from conexiones.addresses import loopback
    from conexiones.gen import user_pb2
except ModuleNotFoundError as error:
    sys.exit(f"Falta el paquete {error.name}: ejecute «make demo» una vez, o use .venv/bin/python.")

IMAGE = Path(__file__).parent / "image" / "elephant.jpg"

# Parts of gRPC's messages when the service did not answer, and what the user can do about it.
_CAUSES = {
    "security handshaker": "Los ficheros de --ca, --cert y --key no son PEM válidos o no van juntos.",
    "CERTIFICATE_VERIFY_FAILED": "No se acepta el certificado de {address}: indique su CA con --ca.",
    "Hostname Verification": "El certificado del servidor no es para {address}.",
    "WRONG_VERSION_NUMBER": "El servidor {address} no usa TLS: quite --tls, --ca, --cert y --key.",
    "timed out": "El servidor {address} no responde.",
    "Socket closed": "El servidor {address} cerró la conexión: quizá exige TLS (--ca) o un certificado de"
    " cliente (--cert y --key).",
}
# With TLS 1.3 this is how a client learns that its certificate is missing or refused.
_CAUSES["Unwrap failed"] = _CAUSES["Socket closed"]


def arguments(description: str) -> argparse.Namespace:
    """The arguments; the command line takes precedence over the environment. Ends the program if they
    conflict."""
    default = os.environ.get
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add(
        "image",
        nargs="?",
        type=Path,
        default=Path(default("CONEXIONES_IMAGE") or IMAGE),
        help="imagen que se envía [CONEXIONES_IMAGE; client/image/elephant.jpg]",
    )
    add(
        "--address",
        default=default("CONEXIONES_ADDRESS") or "localhost:50051",
        help="servidor [CONEXIONES_ADDRESS; localhost:50051]",
    )
    add(
        "--tls",
        action="store_true",
        default=default("CONEXIONES_TLS", "").lower() in {"1", "true", "yes"},
        help="conexión segura, con las CA del sistema [CONEXIONES_TLS=1]",
    )
    for name, text in {
        "ca": "CA del servidor (PEM); implica --tls",
        "cert": "certificado de cliente (PEM), para mTLS; implica --tls",
        "key": "su clave (PEM)",
    }.items():
        variable = f"CONEXIONES_{name.upper()}"
        add(f"--{name}", type=Path, default=default(variable) or None, help=f"{text} [{variable}]")
    # No argument has the token: lists of processes show those.
    add(
        "--timeout",
        type=float,
        default=default("CONEXIONES_TIMEOUT") or "60",
        help="plazo de cada llamada, en segundos [CONEXIONES_TIMEOUT; 60]",
    )
    options = parser.parse_args()
    if bool(options.cert) != bool(options.key):
        sys.exit("Indique --cert y --key juntos.")
    if wrong := _wrong_address(options.address):
        sys.exit(wrong)
    options.token = _token(options)
    if not options.image.is_file():
        sys.exit(f"No hay ninguna imagen en {options.image}: indique otra como primer argumento.")
    if not options.image.stat().st_size:
        # In the message of GetUser, no bytes would mean that there is no image.
        sys.exit(f"INVALID_ARGUMENT EMPTY_IMAGE: La imagen {options.image} está vacía.")
    return options


def _token(options: argparse.Namespace) -> str:
    """The token in CONEXIONES_TOKEN, or in the file CONEXIONES_TOKEN_FILE; empty if there is none. Ends the
    program if it would leave the machine without encryption."""
    token, file = (os.environ.get(f"CONEXIONES_{name}", "").strip() for name in ("TOKEN", "TOKEN_FILE"))
    if file and not token:
        try:
            token = Path(file).read_text().strip()
        except OSError as error:
            sys.exit(_file_problem(error))
    insecure = os.environ.get("CONEXIONES_INSECURE_TOKEN", "").lower() in {"1", "true", "yes"}
    if token and not (_encrypted(options) or insecure or _is_near(options.address)):
        sys.exit(f"El token iría sin cifrar a {options.address}: indique --tls o --ca.")
    return token


def _encrypted(options: argparse.Namespace) -> bool:
    return bool(options.tls or options.ca or options.cert)


def _is_near(address: str) -> bool:
    """Whether it is an address of this machine."""
    try:
        return bool(loopback(address))
    except ValueError:
        return False


class _WithToken(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends a token with every call."""

    def __init__(self, token: str) -> None:
        self._metadata = [("authorization", f"Bearer {token}")]

    def _send(self, call: Callable[..., object], details: grpc.ClientCallDetails, request: object) -> object:
        details = details._replace(metadata=[*(details.metadata or ()), *self._metadata])
        return call(details, request)

    intercept_unary_unary = intercept_unary_stream = _send
    intercept_stream_unary = intercept_stream_stream = _send


def _wrong_address(address: str) -> str:
    """What is wrong with the address, if it is a URL, as of a browser."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return ""
    place = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[2] or "localhost"
    if not re.search(r":\d+$", place):
        place += ":50051"
    tls = " y --tls" if scheme.lower() in {"https", "grpcs"} else ""
    return f"La dirección {address} es una URL: indique HOST:PUERTO, por ejemplo --address {place}{tls}."


@contextmanager
def connect(options: argparse.Namespace) -> Iterator[grpc.Channel]:
    """A channel to the server. An error in the block ends the program with one sentence."""
    try:
        with _channel(options) as channel:
            yield grpc.intercept_channel(channel, _WithToken(options.token)) if options.token else channel
            sys.stdout.flush()  # here, where a reader that has gone is handled
        # Streams that failed are freed while gRPC's threads run. When the program ends, one of these may stop
        # with the lock of a stream, and whoever frees it then waits for ever (seen with grpcio 1.85).
        gc.collect()
    except BrokenPipeError:
        # Whoever read the output has gone, as in «usuario.py | head». What is left of it goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except grpc.RpcError as error:
        said = str(fault_of(error) or _no_answer(error, options.address))
        error.__traceback__ = None  # it names the stream, which is the error itself
        sys.exit(said)
    except OSError as error:
        if not error.filename:
            raise
        sys.exit(_file_problem(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _channel(options: argparse.Namespace) -> grpc.Channel:
    # No options for message sizes are needed: sending has no limit by default, and replies are far smaller
    # than the default limit of 4 MiB. This option limits an attempt to connect to 10 seconds instead of 20.
    settings = [("grpc.min_reconnect_backoff_ms", 10_000)]
    if not _encrypted(options):
        if options.token:
            settings.append(("grpc.enable_http_proxy", 0))  # a proxy would read it
        return grpc.insecure_channel(options.address, settings)
    # For an empty file gRPC would trust the system's CAs, or abort the process.
    ca, key, cert = (path and (path.read_bytes() or b"-") for path in (options.ca, options.key, options.cert))
    return grpc.secure_channel(options.address, grpc.ssl_channel_credentials(ca, key, cert), settings)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of the service: its code, its reason for programs, its sentence for people."""

    code: str
    reason: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.sentence}"


def fault_of(error: grpc.RpcError | user_pb2.Error) -> Fault | None:
    """The service's error of a failed call, or of one message of a stream that goes on.

    None if there is none, because the call did not reach the service or got no answer.
    """
    if isinstance(error, user_pb2.Error):
        return _fault(error.code, error.details)
    metadata = dict(error.trailing_metadata() or ())
    status = Status.FromString(metadata.get("grpc-status-details-bin", b""))
    return _fault(status.code, status.details)


def _fault(code: int, details: Iterable[Any]) -> Fault | None:
    info, text = ErrorInfo(), LocalizedMessage()
    for detail in details:
        # Unpack does nothing with a detail of another type.
        detail.Unpack(info)
        detail.Unpack(text)
    return Fault(Code.Name(code), info.reason, text.message) if info.reason else None


def _no_answer(error: grpc.RpcError, address: str) -> str:
    details = error.details() or ""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"El servidor {address} no respondió a tiempo."
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return f"La llamada a {address} falló: {error.code().name}: {details}"
    for sign, sentence in _CAUSES.items():
        if sign in details:
            return sentence.format(address=address)
    return f"No se puede conectar con {address}: ¿está en marcha el servidor?"


def _file_problem(error: OSError) -> str:
    reasons = {
        FileNotFoundError: "no existe",
        IsADirectoryError: "es una carpeta",
        PermissionError: "no hay permiso",
    }
    return f"No se puede usar {error.filename}: {reasons.get(type(error), error.strerror)}."
