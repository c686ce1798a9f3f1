"""Checks who is let in: by the settings of a server here, and by a server that runs."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc

from conexiones.addresses import split
from conexiones.certificate_rules import read_rules
from conexiones.doctor.findings import Finding
from conexiones.gen.conexiones.v1.access_pb2 import Scope
from conexiones.gen.conexiones.v1.uploads_pb2 import GetLimitsResponse
from conexiones.sdk.connection import Options
from conexiones.settings import Settings

_LIMITS = "/conexiones.v1.UploadService/GetLimits"


def check_mode(settings: Settings) -> Iterator[Finding]:
    """Findings about the settings and files that say who may call a server here."""
    from conexiones.local_servers import ADMIN_TOKEN
    from conexiones.transport.process.access_mode import check_access, says, with_auth
    from conexiones.transport.process.address import Address
    from conexiones.transport.process.start_error import StartError

    try:
        address = Address.parse(settings.address)
    except ValueError:
        return  # another check says so
    try:
        check_access(settings, address)
    except StartError as error:
        yield Finding("access", "FAIL", str(error), "docs/access.md explains the modes.")
        return
    settings = with_auth(settings, address)
    if settings.auth != "required" and not address.is_loopback:
        yield Finding("access", "warn", says(settings), "Give --auth required, if others may reach it.")
    else:
        yield Finding("access", "ok", says(settings))
    yield from _rules(settings)
    yield from _keys(settings)
    yield from _writable("audit", settings.audit_log)
    if settings.access_log not in (None, "-"):
        yield from _writable("access-log", Path(settings.access_log or ""))
    if settings.database:
        return
    token = settings.data_dir / ADMIN_TOKEN
    try:
        mode = stat.S_IMODE(token.stat().st_mode)
    except OSError:
        return
    if mode & 0o077:
        yield Finding(
            ADMIN_TOKEN,
            "FAIL",
            f"others on this machine may open {token} ({mode:04o})",
            f"chmod 600 {token}; if somebody may have read it, revoke the token and make another.",
        )
    else:
        yield Finding(ADMIN_TOKEN, "ok", f"{token} is for its owner only")


def _rules(settings: Settings) -> Iterator[Finding]:
    if settings.certificate_rules is None:
        return
    try:
        count = len(read_rules(settings.certificate_rules).rules)
    except ValueError as error:
        yield Finding("rules", "FAIL", str(error), "docs/access.md explains the rules for certificates.")
    else:
        yield Finding("rules", "ok", f"{settings.certificate_rules} has {count} for certificates")


def _keys(settings: Settings) -> Iterator[Finding]:
    from conexiones.transport.process.jwt_keys import read

    if not settings.jwt_keys:
        return
    try:
        count = len(read(settings.jwt_keys))
    except ValueError as error:
        yield Finding("jwt", "FAIL", str(error), "Correct --jwt-keys; docs/access.md explains JWTs.")
    else:
        yield Finding("jwt", "ok", f"{settings.jwt_keys} has {count} for signatures")


def _writable(name: str, path: Path | None) -> Iterator[Finding]:
    """Whether a log can be written. One that is not there is not made: its folder is asked."""
    if path is None:
        return
    why = ""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK))
    except FileNotFoundError:
        if not path.parent.is_dir():
            why = "there is no such folder"
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            why = "no files can be made in that folder"
    except OSError as error:
        why = (error.strerror or "unknown").lower()
    if why:
        option = "--audit-log" if name == "audit" else "--access-log"
        mend = f"Correct {option}, or who may write there: the server does not start without."
        yield Finding(name, "FAIL", f"{path} cannot be written: {why}", mend)
    else:
        yield Finding(name, "ok", f"{path} can be written")


def check_callers(options: Options) -> Iterator[Finding]:
    """What a server lets those do who show no token: nothing, if it is asked by others than friends."""
    credentials = options.credentials()
    channel = (
        grpc.secure_channel(options.address, credentials)
        if credentials
        else grpc.insecure_channel(options.address)
    )
    with channel:
        try:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_LIMITS)
            reply = GetLimitsResponse.FromString(call(b"", timeout=options.timeout))
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                yield Finding("callers", "ok", "without a credential nobody is let in")
            return  # what else is wrong is said by another check
    if not reply.HasField("access"):
        return  # the server is older
    scopes = [Scope.Name(scope).removeprefix("SCOPE_").lower() for scope in reply.access.scopes]
    may = f"may {', '.join(scopes) or 'do nothing'}"
    if reply.access.subject:
        yield Finding("callers", "ok", f"{reply.access.subject} {may}")
    elif "admin" not in scopes:
        yield Finding("callers", "ok", f"whoever has no credential {may}")
    elif split(options.address)[0] in {"localhost", "127.0.0.1", "::1"}:
        yield Finding("callers", "ok", "everybody may do everything")
    else:
        yield Finding(
            "callers",
            "warn",
            "everybody may do everything",
            "Start the server with --auth required, unless nobody but friends can reach it.",
        )
