"""Who may call, by the settings: how callers show who they are, and what those may do who show nothing."""

from dataclasses import replace

from conexiones.domain.access import Directory, Links
from conexiones.domain.access.certificates import Certificates
from conexiones.domain.access.jwt import Claims
from conexiones.principals import EVERYBODY, SCOPES, Allowance, Principal
from conexiones.settings import Settings
from conexiones.transport.chain.access import Source
from conexiones.transport.chain.bearer import Bearer
from conexiones.transport.chain.jwt import Jwt
from conexiones.transport.chain.link import LinkSource
from conexiones.transport.chain.session import SessionSource
from conexiones.transport.http.images import PREFIX


def allowance(settings: Settings) -> Allowance:
    """The limits of callers with an owner whose credential says nothing of its own."""
    return Allowance(
        stored_bytes=settings.quota_bytes,
        stored_images=settings.quota_images,
        open_uploads=settings.quota_uploads,
        calls_per_second=settings.rate_calls,
        bytes_per_second=settings.rate_bytes,
    )


def nobody(settings: Settings) -> Principal:
    """Who calls without a credential."""
    rates = Allowance(
        calls_per_second=settings.anonymous_rate_calls, bytes_per_second=settings.anonymous_rate_bytes
    )
    if settings.auth != "required":
        return replace(EVERYBODY, allowance=rates)
    scopes = frozenset(scope for scope in SCOPES if scope in (settings.anonymous_scopes or ()))
    return Principal(scopes=scopes, allowance=rates)


def sources(
    settings: Settings,
    directory: Directory,
    links: Links,
    certificates: Certificates,
    session: SessionSource,
) -> list[Source]:
    """How callers show who they are."""
    found: list[Source] = [LinkSource(links.opened, prefix=PREFIX, allowance=directory.nobody.allowance)]
    if settings.auth != "required":
        return found
    signed = Jwt(_claims(settings, directory).principal) if settings.jwt_issuer else None
    found += [Bearer(directory.principal, signed=signed), session]
    if settings.tls_client_ca:
        # Imported here, since the library takes 16 MB.
        from conexiones.transport.chain.certificate import CertificateSource

        found.append(CertificateSource(certificates.principal))
    return found


def _claims(settings: Settings, directory: Directory) -> Claims:
    """What the claims of JWTs say."""
    return Claims(
        subject=settings.jwt_subject_claim,
        scopes=settings.jwt_scopes_claim,
        own=settings.jwt_own,
        allowance=directory.allowance,
    )
