"""GetUser over HTTP/1.1, as programs make it that have no gRPC: in gRPC-Web and in Connect."""

from functools import partial

from conexiones import __version__, errors
from conexiones.gen.user_pb2 import GetUserReply
from conexiones.sdk import results
from conexiones.sdk.connection import Connection
from conexiones.sdk.credentials import HEADER
from conexiones.sdk.failures import ConnectionLost, from_status
from conexiones.sdk.results import Greeting
from conexiones.sdk.threads import beside
from conexiones.sdk.usuario import user_request
from conexiones.wire import unary

_PATH = "/user.UsuarioServicio/GetUser"


async def get_user(
    connection: Connection, protocol: str, name: str, pow: int, image: bytes | None
) -> Greeting:
    """As AsyncClient.get_user, once, in one of the protocols of `wire.unary`. The connection has to go
    through a recorder."""
    options = connection.options
    request = user_request(name, pow, image)
    headers = {"user-agent": f"conexiones/{__version__}"}
    if (secret := await connection.sending()) is not None:
        headers[HEADER] = f"Bearer {secret.reveal()}"
    made = partial(
        unary.call,
        *(connection.through, protocol, connection.address, _PATH, request, GetUserReply),
        headers=headers,
        seconds=options.timeout,
    )
    try:
        return results.greeting(await beside(made))
    except unary.Refused as refused:
        raise from_status(refused.code, refused.message, refused.details) from refused
    except TimeoutError as error:
        raise errors.DeadlineExceeded from error
    except (OSError, unary.NoReply) as error:
        lost = ConnectionLost(why=getattr(error, "strerror", None) or str(error))
        raise await connection.unreachable(lost) from error
