"""Checks whether a server answers as it should: its health, version, limits, clock and round trip."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import grpc

from conexiones import __version__
from conexiones.doctor.access import check_callers
from conexiones.doctor.findings import Finding
from conexiones.doctor.handshake import Handshake
from conexiones.errors import ConexionesError, Unauthenticated
from conexiones.sdk import Client, Limits
from conexiones.sdk.access import SCOPES
from conexiones.sdk.connection import Options

_ROUNDS = 10
"""Calls of which the round trip is the median."""
_MAX_SKEW_SECONDS = 5.0
"""Difference between the two clocks up to which there is no warning."""

_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
"""A HealthCheckResponse (grpc.health.v1) with status SERVING. The request about the whole server is empty."""


def check_connection(options: Options) -> Iterator[Finding]:
    """A finding for each step of the connection. After a step that fails, those that need it are skipped."""
    handshake = Handshake(options)
    yield from handshake.check()
    if not handshake.done:
        return
    health = _health(options)
    yield health
    if health.state == "FAIL":
        return
    yield from check_callers(options)
    with Client(
        options.address,
        tls=options.tls,
        ca=options.ca,
        cert=options.cert,
        key=options.key,
        token=options.token.reveal() if options.token else None,
        insecure_token=options.insecure_token,
        timeout=options.timeout,
        retries=0,
    ) as client:
        yield from _answers(client)


def _health(options: Options) -> Finding:
    credentials = options.credentials()
    channel = (
        grpc.secure_channel(options.address, credentials)
        if credentials
        else grpc.insecure_channel(options.address)
    )
    with channel:
        try:
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_CHECK)
            reply = check(b"", timeout=options.timeout)
        except grpc.RpcError as error:
            code = error.code()
            if code in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND}:
                return Finding(
                    "health", "FAIL", "it is no Conexiones server: it has no health", "Correct the address."
                )
            return Finding(
                "health",
                "FAIL",
                f"no answer over gRPC: {code.name}",
                "If gRPC goes through a proxy (http_proxy, https_proxy), name the server in no_proxy.",
            )
    if reply == _SERVING:
        return Finding("health", "ok", "it serves")
    return Finding("health", "FAIL", "it is shutting down", "Wait for it, or start it again.")


def _answers(client: Client) -> Iterator[Finding]:
    times: list[float] = []
    skews: list[float] = []
    try:
        for _ in range(_ROUNDS):
            begin, clock = time.monotonic(), datetime.now(UTC)
            limits = client.limits()
            times.append(time.monotonic() - begin)
            if limits.server_time:
                # The server read its clock about half way through the round trip.
                skews.append((limits.server_time - clock).total_seconds() - times[-1] / 2)
    except Unauthenticated as error:
        yield Finding("access", "FAIL", error.message, "Give a token: conexiones login, or --token-file.")
        return
    except ConexionesError as error:
        yield Finding("limits", "FAIL", error.message, "See the server's log.")
        return
    yield _version(limits)
    yield Finding(
        "limits",
        "ok",
        f"images to {limits.max_image_bytes / 1e9:.1f} GB and {limits.max_pixels / 1e6:.0f} megapixels,"
        f" messages to {limits.max_message_bytes / 1e6:.1f} MB",
    )
    if limits.access and limits.access.subject:
        scopes = ", ".join(scope for scope in SCOPES if scope in limits.access.scopes)
        yield Finding("access", "ok", f"{limits.access.subject} may {scopes}")
    if skews:
        skew = min(skews, key=abs)
        difference = f"the server's clock is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}"
        if abs(skew) > _MAX_SKEW_SECONDS:
            yield Finding("clock", "warn", difference, "Set the clocks of both machines by NTP.")
        else:
            yield Finding("clock", "ok", difference)
    times.sort()
    # The first call also connects, which does not affect the median.
    yield Finding(
        "round trip", "ok", f"{1000 * times[len(times) // 2]:.1f} ms, at best {1000 * times[0]:.1f} ms"
    )


def _version(limits: Limits) -> Finding:
    theirs = limits.server_version
    if not theirs:
        return Finding("version", "warn", "the server is too old to say it", "Update the server.")
    if theirs.split(".")[0] != __version__.split(".")[0]:
        return Finding(
            "version", "warn", f"the server is {theirs}, we are {__version__}", "Update the older of the two."
        )
    return Finding("version", "ok", f"the server is {theirs}, we are {__version__}")
