"""How a server lets callers in: which settings contradict each other, and what the operator is told."""

from dataclasses import replace

from conexiones.local_servers import ADMIN_TOKEN
from conexiones.settings import Settings
from conexiones.transport.process.address import Address
from conexiones.transport.process.jwt_keys import is_private, is_url
from conexiones.transport.process.start_error import StartError


def with_auth(settings: Settings, address: Address) -> Settings:
    """The settings with the default of `auth` for that address."""
    if settings.auth:
        return settings
    everybody = address.is_loopback or settings.insecure
    return replace(settings, auth="none" if everybody else "required")


def check_access(settings: Settings, address: Address) -> None:
    """Raises StartError, whose sentence says what to change, if the settings contradict each other."""
    if not address.is_loopback and not settings.insecure:
        if not settings.tls_cert:
            raise StartError(
                f"{address} is open to other machines: give --tls-cert and --tls-key, or say --insecure."
            )
        if settings.auth == "none":
            raise StartError(
                f"{address} is open to other machines, and --auth none lets everybody in: say --auth"
                " required, or --insecure."
            )
    if settings.certificate_rules and not settings.tls_client_ca:
        raise StartError("--certificate-rules needs --tls-client-ca, whose certificates they are about.")
    _check_jwt(settings)
    if with_auth(settings, address).auth == "none":
        _check_none(settings)


def _check_jwt(settings: Settings) -> None:
    """Raises StartError."""
    given = {
        "--jwt-issuer": settings.jwt_issuer,
        "--jwt-audience": settings.jwt_audience,
        "--jwt-keys": settings.jwt_keys,
    }
    missing = [name for name, value in given.items() if not value]
    if len(missing) == len(given):
        return
    if missing:
        raise StartError(f"JWTs need --jwt-issuer, --jwt-audience and --jwt-keys; {missing[0]} is missing.")
    keys = settings.jwt_keys or ""
    if is_url(keys) and not is_private(keys) and not settings.insecure:
        raise StartError(
            f"{keys} has no https, so that anybody on the way could put other keys into it: give an https"
            " URL, or say --insecure."
        )


def _check_none(settings: Settings) -> None:
    """Raises StartError for settings that mean nothing where everybody is let in."""
    given = {
        "--anonymous-scopes": settings.anonymous_scopes,
        "--certificate-rules": settings.certificate_rules,
        "--jwt-issuer": settings.jwt_issuer,
        "--new-admin-token": settings.new_admin_token,
    }
    for name, value in given.items():
        if value:
            raise StartError(f"{name} needs --auth required: without it everybody has all scopes.")


def says(settings: Settings) -> str:
    """How callers are let in, as a sentence. `settings` are those of `with_auth`."""
    everything = "every certificate of the CA may do everything: --certificate-rules says more"
    if settings.auth != "required":
        return f"{everything if settings.tls_client_ca else 'everybody may do everything'} (--auth none)"
    found = ["callers need a credential"]
    if settings.tls_client_ca:
        found.append("certificates go by their rules" if settings.certificate_rules else everything)
    if settings.jwt_issuer:
        found.append(f"JWTs of {settings.jwt_issuer} are taken")
    if settings.anonymous_scopes:
        found.append(f"without one they may {', '.join(settings.anonymous_scopes)}")
    if not settings.database and (settings.data_dir / ADMIN_TOKEN).exists():
        found.append(f"the administrator's token is in {settings.data_dir / ADMIN_TOKEN}")
    return "; ".join(found)
