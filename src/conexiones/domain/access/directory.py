"""The credentials that the server has given out, and who they stand for.

All of them are in memory, by the hash of their secret: a call with a token asks the catalog nothing. What
changes is durable before it counts. What other servers change comes by `take` (elsewhere.py).
"""

import asyncio
import math
import re
import secrets as random
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from conexiones import errors
from conexiones.domain.access import certificates
from conexiones.domain.access.secrets import SESSION, TICKET, TOKEN, digest, is_secret, mint
from conexiones.domain.ids import now
from conexiones.domain.names import check_text
from conexiones.ports.access import Credential, CredentialKind, Credentials
from conexiones.principals import EVERYBODY, SCOPES, Allowance, Principal, Scope, Terms
from conexiones.whole import to_end

HOUR = 3600 * 1_000_000
"""In microseconds: how exactly the last use of a token is known."""

KEEP_SECONDS = 30 * 24 * 3600
"""Tokens that have ended are listed for this long."""

KEEP_OTHERS_SECONDS = 24 * 3600
"""Tickets and sessions that have ended are told from wrong ones for this long. There may be many of them."""

MAX_TOKENS = 100_000
"""The most tokens that are kept, and the most certificates."""

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
    that another start of the server can set others. `nobody` is who shows no credential. `on_end` is told the
    ids of credentials that were revoked together: their calls are to end."""

    def __init__(
        self, credentials: Credentials, *, allowance: Allowance | None = None, nobody: Principal = EVERYBODY
    ) -> None:
        self._credentials = credentials
        self.nobody = nobody
        self.allowance = allowance or Allowance()
        self._by_id: dict[str, Credential] = {}
        self._by_digest: dict[bytes, Credential] = {}
        self._principals: dict[str, Principal] = {}
        # Tokens that were good, by digest, and until when they are without another look.
        self._good: dict[bytes, tuple[Principal, int]] = {}
        self._children: dict[str, set[str]] = {}
        self._makers: dict[str, str] = {}  # certificates with which something was made → the newest one's id
        self._used: dict[str, int] = {}
        self._making: Counter[str] = Counter()  # the children that are being made
        self._revoking: dict[str, int] = {}  # what was revoked, and may not be durable yet
        self.on_end: Callable[[Collection[str]], None] = lambda _: None

    async def open(self) -> None:
        """Reads all credentials. Raises StorageUnavailable."""
        for credential in await self._credentials.all():
            self._keep(credential)

    def take(self, credentials: Iterable[Credential]) -> None:
        """Takes over credentials that another server has made or changed. What has ended by that ends here,
        too."""
        ended: set[str] = set()
        for one in credentials:
            known = self._by_id.get(one.id)
            if known is not None and known.revoke_time is not None and one.revoke_time is None:
                one = replace(one, revoke_time=known.revoke_time)  # it is not durable yet
            elif one.revoke_time is not None and (known is None or known.revoke_time is None):
                # With those that another server was making meanwhile, and may not have revoked.
                ended |= {one.id, *self._children.get(one.id, ())}
            if one.use_time is not None and self._used.get(one.id, math.inf) <= one.use_time:
                del self._used[one.id]
            self._keep(one)
        if ended:
            self.on_end(ended)

    def with_defaults(self, principal: Principal) -> Principal:
        """A caller that no credential of the directory stands for, with the limits of those that say nothing
        of their own."""
        return replace(principal, allowance=principal.allowance.or_else(self.allowance))

    def principal(self, secret: str) -> Principal:
        """Who has that token or ticket. Raises TokenMistyped, TokenUnknown, TokenExpired and TokenRevoked."""
        key = digest(secret)
        good = self._good.get(key)
        if good is not None and now() < good[1]:
            return good[0]
        principal = self._found(key, secret, session=False)
        if self._by_digest[key].kind == "token":
            ends = math.inf if principal.expires is None else principal.expires * 1e6
            self._good[key] = principal, int(min(now() // HOUR * HOUR + HOUR, ends))
        return principal

    def session(self, secret: str) -> Principal:
        """Who has that session of the page. Raises what `principal` raises."""
        return self._found(digest(secret), secret, session=True)

    def _found(self, key: bytes, secret: str, *, session: bool) -> Principal:
        # Looked up first: the checksum takes longer, and matters only where the secret is not known.
        credential = self._by_digest.get(key)
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
        if credential.kind != "token" and self._is_orphan(credential):
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
        self._check_room("token", unit="tokens")
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
        parent = await self.maker(maker)
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

    async def maker(self, principal: Principal) -> str:
        """The id of the credential with which everything ends that the caller makes: its token, or its
        certificate, which is kept from now on. Empty if it has neither. Raises QuotaExceeded,
        StorageFull and StorageUnavailable."""
        if principal.certificate is None:
            credential = self._by_id.get(principal.credential)
            return (credential.parent or credential.id) if credential else ""
        name = certificates.written(principal.certificate)
        kept = self._by_id.get(self._makers.get(name, ""))
        # With other rights it is another one: what it makes of them ends when these are lost.
        if kept and not self._ended(kept) and _same_rights(self._principals[kept.id], principal):
            return kept.id
        self._check_room("certificate", unit="certificates")
        issued = await self._issue(
            "certificate",
            random.token_hex(),
            name=name,
            owner=principal.owner,
            scopes=principal.scopes,
            own=principal.own,
            seconds=None,
            allowance=principal.allowance,
            end=principal.expires,
        )
        return issued.credential.id

    def held_certificates(self) -> list[Principal]:
        """The certificates with which something was made that may still work, as their holders were then."""
        kept = [one for one in self._by_id.values() if one.kind == "certificate" and not self._ended(one)]
        return [replace(self._principals[one.id], certificate=certificates.read(one.name)) for one in kept]

    def _check_room(self, kind: CredentialKind, *, unit: str) -> None:
        """Raises QuotaExceeded if there are as many of these as are kept."""
        kept = sum(one.kind == kind for one in self._by_id.values())
        if kept >= MAX_TOKENS:
            raise errors.QuotaExceeded(limit=MAX_TOKENS, actual=kept + 1, unit=unit)

    def _keep(self, credential: Credential) -> None:
        self._by_id[credential.id] = self._by_digest[credential.digest] = credential
        self._good.pop(credential.digest, None)
        if credential.kind == "certificate":
            self._makers[credential.name] = credential.id
        elif credential.kind != "token":
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
        """Whether it was made with a credential that has ended, or by nobody, who may not write any more."""
        if credential.parent:
            return self._ended(self._by_id.get(credential.parent))
        return credential.kind == "ticket" and not credential.name and "write" not in self.nobody.scopes

    def family(self, credential_id: str) -> list[Credential]:
        """A credential, and what was made with it and still works. Raises TokenNotFound."""
        if credential_id not in self._by_id:
            raise errors.TokenNotFound(field="id")
        made = [self._by_id[each] for each in self._children.get(credential_id, ())]
        return [self._by_id[credential_id], *(one for one in made if not self._ended(one))]

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
            self.on_end(set(ended))
        self._revoking.pop(credential_id, None)
        return self._by_id[credential_id]

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
        time = await self._credentials.shared_time(now())
        tokens, others = (time - seconds * 1_000_000 for seconds in (KEEP_SECONDS, KEEP_OTHERS_SECONDS))
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
        self._good.pop(credential.digest, None)
        if self._makers.get(credential.name) == credential.id:
            del self._makers[credential.name]
        family = _family(credential)
        if siblings := self._children.get(family):
            siblings.discard(credential.id)
            if not siblings:
                del self._children[family]


def _ended(error: errors.Unauthenticated, credential: Credential) -> errors.Unauthenticated:
    """The error, which knows of which credential it is."""
    error.credential = credential.id
    return error


def _same_rights(one: Principal, other: Principal) -> bool:
    return (one.scopes, one.own, one.owner) == (other.scopes, other.own, other.owner)


def _family(credential: Credential) -> str:
    """What the tickets and sessions of one maker have in common: what they end with, or its subject."""
    return credential.parent or credential.name


def _place(credential: Credential) -> tuple[int, str]:
    """Its place in lists, which begin with the newest."""
    return credential.create_time, credential.id


def _end(credential: Credential) -> int:
    """When a credential that has ended did."""
    times = (credential.revoke_time, credential.expire_time)
    return min(time for time in times if time is not None)
