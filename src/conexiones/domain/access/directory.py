"""The credentials that the server has given out, and who they stand for.

All of them are in memory, by the hash of their secret: a call with a token asks the catalog nothing. What
changes is durable before it counts.
"""

import asyncio
import re
import secrets as random
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from conexiones import errors
from conexiones.domain.access.secrets import SESSION, TICKET, TOKEN, digest, is_secret, mint
from conexiones.domain.ids import now
from conexiones.domain.names import check_text
from conexiones.ports.access import Credential, CredentialKind, Credentials
from conexiones.principals import SCOPES, Allowance, Principal, Scope, Terms
from conexiones.whole import to_end

HOUR = 3600 * 1_000_000
"""In microseconds: how exactly the last use of a token is known."""

KEEP_SECONDS = 30 * 24 * 3600
"""Tokens that have ended are listed for this long."""

KEEP_OTHERS_SECONDS = 24 * 3600
"""Tickets and sessions that have ended are told from wrong ones for this long. There may be many of them."""

MAX_TOKENS = 100_000
"""The most tokens that are kept."""

MAX_CHILDREN = 10_000
"""The most tickets and sessions that may be made with one token at a time."""

SESSION_SECONDS = 12 * 3600
"""How long a session of the page lasts."""

TICKET_SECONDS, MAX_TICKET_SECONDS = 3600, 24 * 3600
"""How long a ticket works by default, and at most."""

_NAME = re.compile(r"[A-Za-z0-9._@/-]{1,64}")


@dataclass(frozen=True, slots=True)
class Issued:
    """A credential that was just made, with its secret, which nobody has again."""

    credential: Credential
    secret: str = field(repr=False)


class Directory:
    """`allowance` has the limits of tokens that say nothing of their own. They are not kept with a token, so
    that another start of the server can set others. `on_end` is told the id of each credential that was
    revoked: its calls are to end."""

    def __init__(self, credentials: Credentials, *, allowance: Allowance | None = None) -> None:
        self._credentials = credentials
        self.allowance = allowance or Allowance()
        self._by_id: dict[str, Credential] = {}
        self._by_digest: dict[bytes, Credential] = {}
        self._principals: dict[str, Principal] = {}
        self._children: dict[str, set[str]] = {}
        self._used: dict[str, int] = {}
        self._making: Counter[str] = Counter()  # the children that are being made
        self._revoking: dict[str, int] = {}  # what was revoked, and may not be durable yet
        self.on_end: Callable[[str], None] = lambda _: None

    async def open(self) -> None:
        """Reads all credentials. Raises StorageUnavailable."""
        for credential in await self._credentials.all():
            self._keep(credential)

    def with_defaults(self, principal: Principal) -> Principal:
        """A caller that no credential of the directory stands for, with the limits of those that say nothing
        of their own."""
        return replace(principal, allowance=principal.allowance.or_else(self.allowance))

    def principal(self, secret: str) -> Principal:
        """Who has that token or ticket. Raises TokenMistyped, TokenUnknown, TokenExpired and TokenRevoked."""
        return self._found(secret, session=False)

    def session(self, secret: str) -> Principal:
        """Who has that session of the page. Raises what `principal` raises."""
        return self._found(secret, session=True)

    def _found(self, secret: str, *, session: bool) -> Principal:
        # Looked up first: the checksum takes longer, and matters only where the secret is not known.
        credential = self._by_digest.get(digest(secret))
        if credential is None or (credential.kind == "session") != session:
            raise errors.TokenUnknown if is_secret(secret) else errors.TokenMistyped
        return self._checked(credential)

    def principal_of(self, credential_id: str) -> Principal:
        """Who has the credential of that id. Raises TokenUnknown, TokenExpired and TokenRevoked."""
        credential = self._by_id.get(credential_id)
        if credential is None:
            raise errors.TokenUnknown
        return self._checked(credential)

    def _checked(self, credential: Credential) -> Principal:
        time = now()
        if credential.revoke_time is not None:
            raise _ended(errors.TokenRevoked(), credential)
        if credential.expire_time is not None and credential.expire_time <= time:
            raise _ended(errors.TokenExpired(), credential)
        # A ticket that was made while its token was revoked may have no revoke_time of its own.
        if credential.parent and self._is_orphan(credential):
            raise _ended(errors.TokenRevoked(), credential)
        hour = time - time % HOUR
        if credential.use_time != hour:
            self._used[credential.id] = hour
        return self._principals[credential.id]

    async def create_token(
        self,
        name: str,
        scopes: Collection[Scope],
        *,
        own: bool = False,
        seconds: float | None = None,
        allowance: Allowance | None = None,
        secret: str = "",
    ) -> Issued:
        """Makes a token. `secret` is one that `mint` has made before. Raises InvalidField, QuotaExceeded."""
        if not _NAME.fullmatch(name):
            raise errors.InvalidField(field="name", takes="1 to 64 letters, digits, and any of . _ - @ /")
        if not scopes or not set(scopes) <= set(SCOPES):
            raise errors.InvalidField(field="scopes", takes=f"any of {', '.join(SCOPES)}, at least one")
        if seconds is not None and seconds <= 0:
            raise errors.InvalidField(field="ttl", takes="more than 0 seconds")
        kept = sum(one.kind == "token" for one in self._by_id.values())
        if kept >= MAX_TOKENS:
            raise errors.QuotaExceeded(limit=MAX_TOKENS, actual=kept + 1, unit="tokens")
        return await self._issue(
            "token",
            secret or mint(TOKEN),
            name=name,
            owner=f"token:{name}",
            scopes=frozenset(scopes),
            own=own,
            seconds=seconds,
            allowance=allowance or Allowance(),
        )

    async def create_ticket(
        self, maker: Principal, *, seconds: float, terms: Terms, owner: str = ""
    ) -> Issued:
        """Makes a ticket for what belongs to `owner`, by default to that of `maker`, and ends with the
        maker's token. Raises InvalidField, QuotaExceeded."""
        if not 0 < seconds <= MAX_TICKET_SECONDS:
            raise errors.InvalidField(field="ttl", takes=f"1 to {MAX_TICKET_SECONDS} seconds")
        check_text(owner, field="owner")
        if owner and not maker.sees(owner):
            raise errors.InvalidField(field="owner", takes="no other owner than the caller's own")
        return await self._issue_child(
            "ticket",
            maker,
            mint(TICKET),
            owner=owner or maker.owner,
            scopes=frozenset({"write"}),
            own=True,
            seconds=seconds,
            terms=terms,
        )

    async def create_session(self, maker: Principal) -> Issued:
        """Makes a session of the page, which may do what the token may with which it was made. Raises
        NoCredentials if `maker` came with no token, and QuotaExceeded."""
        token = self._by_id.get(maker.credential)
        if token is None or token.kind != "token":
            raise errors.NoCredentials
        return await self._issue_child(
            "session",
            maker,
            mint(SESSION),
            owner=maker.owner,
            scopes=maker.scopes,
            own=maker.own,
            seconds=SESSION_SECONDS,
        )

    async def _issue_child(
        self,
        kind: CredentialKind,
        maker: Principal,
        secret: str,
        *,
        owner: str,
        scopes: frozenset[Scope],
        own: bool,
        seconds: float,
        terms: Terms | None = None,
    ) -> Issued:
        """Raises QuotaExceeded."""
        parent = self.token_of(maker)
        family = parent or maker.subject
        if self._siblings(family) >= MAX_CHILDREN:
            self._forget_ended(family)
        if (siblings := self._siblings(family)) >= MAX_CHILDREN:
            raise errors.QuotaExceeded(limit=MAX_CHILDREN, actual=siblings + 1, unit=f"{kind}s")
        self._making[family] += 1
        try:
            return await self._issue(
                kind,
                secret,
                name=maker.subject,
                owner=owner,
                scopes=scopes,
                own=own,
                seconds=seconds,
                allowance=maker.allowance,
                parent=parent,
                terms=terms,
                end=maker.expires,
            )
        finally:
            self._making[family] -= 1
            self._making += Counter()  # forgets those of whom nothing is made

    def _siblings(self, family: str) -> int:
        """How many tickets and sessions a family has, with those that are being made."""
        return len(self._children.get(family, ())) + self._making[family]

    async def _issue(
        self,
        kind: CredentialKind,
        secret: str,
        *,
        name: str,
        owner: str,
        scopes: frozenset[Scope],
        own: bool,
        seconds: float | None,
        allowance: Allowance,
        parent: str = "",
        terms: Terms | None = None,
        end: float | None = None,
    ) -> Issued:
        """`end` is when it ends at the latest, in seconds since the epoch."""
        time = now()
        ends = [] if seconds is None else [time + int(seconds * 1e6)]
        ends += [] if end is None else [round(end * 1e6)]
        credential = Credential(
            id=random.token_hex(8),
            kind=kind,
            digest=digest(secret),
            name=name,
            owner=owner,
            scopes=scopes,
            own=own,
            create_time=time,
            expire_time=min(ends, default=None),
            parent=parent,
            allowance=allowance,
            terms=terms,
        )
        # Done whole, though the caller is cancelled: else there were one that is durable and not listed.
        await to_end(asyncio.ensure_future(self._add(credential)))
        return Issued(credential, secret)

    async def _add(self, credential: Credential) -> None:
        await self._credentials.add(credential)
        self._keep(credential)
        if self._is_orphan(credential):
            await self.revoke(credential.id)  # the token was revoked meanwhile

    def token_of(self, maker: Principal) -> str:
        """The id of the token with which everything ends that the caller makes; empty if it has none."""
        credential = self._by_id.get(maker.credential)
        return (credential.parent or credential.id) if credential else ""

    def _keep(self, credential: Credential) -> None:
        self._by_id[credential.id] = self._by_digest[credential.digest] = credential
        if credential.kind != "token":
            self._children.setdefault(_family(credential), set()).add(credential.id)
        self._principals[credential.id] = Principal(
            subject=f"token:{credential.name}" if credential.kind == "token" else credential.name,
            scopes=credential.scopes,
            own=credential.own,
            owner=credential.owner,
            credential=credential.id,
            expires=None if credential.expire_time is None else credential.expire_time / 1e6,
            allowance=credential.allowance.or_else(self.allowance),
            terms=credential.terms,
        )

    def _ended(self, credential: Credential | None) -> bool:
        if credential is None or credential.revoke_time is not None:
            return True
        return credential.expire_time is not None and credential.expire_time <= now()

    def _is_orphan(self, credential: Credential) -> bool:
        """Whether it was made with a token that has ended."""
        return bool(credential.parent) and self._ended(self._by_id.get(credential.parent))

    async def revoke(self, credential_id: str) -> Credential:
        """Ends a credential and all that was made with it. Raises TokenNotFound, StorageFull and
        StorageUnavailable; the credential has ended then, too, and `sweep` tries to make that durable."""
        if credential_id not in self._by_id:
            raise errors.TokenNotFound(field="id")
        time = now()
        self._revoking.setdefault(credential_id, self._by_id[credential_id].revoke_time or time)
        # First in memory: what is refused too early is no harm, and what was durable first could be used
        # until this process has heard of it. Calls end last, since this one may be among them.
        family = (credential_id, *self._children.get(credential_id, ()))
        ended = [each for each in family if self._by_id[each].revoke_time is None]
        for each in ended:
            self._keep(replace(self._by_id[each], revoke_time=time))
        try:
            await self._credentials.revoke(credential_id, now=time)
        finally:
            for each in ended:
                self.on_end(each)
        self._revoking.pop(credential_id, None)
        return self._by_id[credential_id]

    async def revoke_made_by(self, subject: str) -> None:
        """Ends the tickets and sessions that were made by whoever has a certificate and no token."""
        for each in list(self._children.get(subject, ())):
            await self.revoke(each)

    def place(self, credential_id: str) -> tuple[int, str] | None:
        """Where a token is in the list of all, also if it has ended; None if there is no such token."""
        found = self._by_id.get(credential_id)
        return _place(found) if found is not None and found.kind == "token" else None

    def tokens(self, *, ended: bool, name: str = "") -> list[Credential]:
        """The tokens, newest first; also those that have ended, if asked for."""
        found = [
            one
            for one in self._by_id.values()
            if one.kind == "token" and (ended or not self._ended(one)) and name in ("", one.name)
        ]
        return [
            replace(one, use_time=self._used.get(one.id, one.use_time))
            for one in sorted(found, key=_place, reverse=True)
        ]

    def has_admin(self) -> bool:
        """Whether there is a token that may make others."""
        return any("admin" in token.scopes for token in self.tokens(ended=False))

    async def sweep(self) -> None:
        """Notes when tokens were used, and forgets those that ended long ago. Call it at intervals. Raises
        StorageFull, StorageUnavailable."""
        for credential_id, time in list(self._revoking.items()):
            await self._credentials.revoke(credential_id, now=time)
            self._revoking.pop(credential_id, None)
        used, self._used = self._used, {}
        if used:
            for credential_id, hour in used.items():
                if credential := self._by_id.get(credential_id):
                    self._keep(replace(credential, use_time=hour))
            await self._credentials.used(used)
        tokens, others = (now() - seconds * 1_000_000 for seconds in (KEEP_SECONDS, KEEP_OTHERS_SECONDS))
        for credential in list(self._by_id.values()):
            before = tokens if credential.kind == "token" else others
            if self._ended(credential) and _end(credential) < before:
                self._forget(credential)
        await self._credentials.forget(tokens=tokens, others=others)

    def _forget_ended(self, family: str) -> None:
        for each in list(self._children.get(family, ())):
            if self._ended(self._by_id[each]):
                self._forget(self._by_id[each])

    def _forget(self, credential: Credential) -> None:
        del self._by_id[credential.id], self._by_digest[credential.digest], self._principals[credential.id]
        family = _family(credential)
        if siblings := self._children.get(family):
            siblings.discard(credential.id)
            if not siblings:
                del self._children[family]


def _ended(error: errors.Unauthenticated, credential: Credential) -> errors.Unauthenticated:
    """The error, which knows of which credential it is."""
    error.credential = credential.id
    return error


def _family(credential: Credential) -> str:
    """What the tickets and sessions of one maker have in common: its token, or its subject if it has none."""
    return credential.parent or credential.name


def _place(credential: Credential) -> tuple[int, str]:
    """Its place in lists, which begin with the newest."""
    return credential.create_time, credential.id


def _end(credential: Credential) -> int:
    """When a credential that has ended did."""
    times = (credential.revoke_time, credential.expire_time)
    return min(time for time in times if time is not None)
