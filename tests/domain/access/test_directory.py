"""Tokens, tickets and sessions: who has them, how they end, and what is left of them after a start."""

import asyncio
import secrets
from pathlib import Path

import pytest

from conexiones import errors
from conexiones.domain.access import TOKEN, Directory, Issued, directory, is_secret, mint
from conexiones.domain.access.secrets import SESSION, TICKET, digest
from conexiones.domain.ids import now
from conexiones.principals import Principal, Terms
from tests.domain.access.kept import kept

TERMS = Terms(bytes=1, images=1)


def maker(found: Directory, token: Issued) -> Principal:
    return found.principal(token.secret)


async def test_a_token_stands_for_who_it_was_made_for(tmp_path: Path) -> None:
    async with kept(tmp_path) as (_, found):
        token = await found.create_token("one", ["read"], own=True)
        before = found.principal(token.secret)
        assert (before.subject, before.scopes, before.own, before.owner) == (
            "token:one",
            frozenset({"read"}),
            True,
            "token:one",
        )
    async with kept(tmp_path) as (_, found):
        assert found.principal(token.secret) == before


@pytest.mark.parametrize("prefix", [TOKEN, TICKET, SESSION])
def test_a_typing_error_is_told_from_a_wrong_secret(prefix: str) -> None:
    secret = mint(prefix)
    assert is_secret(secret)
    for at in range(len(secret)):
        for other in "0aZ_-é":
            changed = secret[:at] + other + secret[at + 1 :]
            assert is_secret(changed) == (changed == secret), changed
    assert not is_secret(secret + "0")
    assert not is_secret(secret[:-1])


async def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    async with kept(tmp_path) as (credentials, found):
        token = await found.create_token("one", ["read"])
        shown = repr((token, token.credential, await credentials.all()))
        for secret in (token.secret, repr(token.credential.digest), token.credential.digest.hex()):
            assert secret not in shown


async def test_what_a_cancelled_call_has_made_is_listed(tmp_path: Path) -> None:
    async with kept(tmp_path) as (credentials, found):
        credentials.go.clear()
        making = asyncio.create_task(found.create_token("one", ["read"]))
        await credentials.begun.wait()
        making.cancel()
        credentials.go.set()
        with pytest.raises(asyncio.CancelledError):
            await making
        (listed,) = found.tokens(ended=True)
        assert [one.id for one in await credentials.all()] == [listed.id]


async def test_a_ticket_that_is_made_while_its_token_is_revoked_is_revoked(tmp_path: Path) -> None:
    async with kept(tmp_path) as (credentials, found):
        token = await found.create_token("one", ["write"])
        credentials.begun.clear()
        credentials.go.clear()
        making = asyncio.create_task(found.create_ticket(maker(found, token), seconds=60, terms=TERMS))
        await credentials.begun.wait()
        await found.revoke(token.credential.id)
        credentials.fault = errors.StorageUnavailable()  # a kill before the ticket's own end is durable
        credentials.go.set()
        with pytest.raises(errors.StorageUnavailable):
            await making
        (ticket,) = [one for one in await credentials.all() if one.kind == "ticket"]
        with pytest.raises(errors.TokenRevoked):
            found.principal_of(ticket.id)
    async with kept(tmp_path) as (_, found):
        with pytest.raises(errors.TokenRevoked):
            found.principal_of(ticket.id)


async def test_everything_ends_with_its_token(tmp_path: Path) -> None:
    async with kept(tmp_path) as (_, found):
        ended: list[str] = []
        found.on_end = ended.extend
        token = await found.create_token("one", ["write"])
        who = maker(found, token)
        ticket = await found.create_ticket(who, seconds=60, terms=TERMS)
        session = await found.create_session(who)
        again = await found.create_ticket(found.session(session.secret), seconds=60, terms=TERMS)
        await found.revoke(token.credential.id)
        family = [one.credential.id for one in (token, ticket, session, again)]
        assert sorted(ended) == sorted(family)
    async with kept(tmp_path) as (_, found):
        for one in family:
            with pytest.raises(errors.TokenRevoked):
                found.principal_of(one)
        with pytest.raises(errors.TokenRevoked):
            found.session(session.secret)


async def test_a_token_that_was_good_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the hour that is remembered: when it expires, or is revoked, and when a ticket's token is."""
    async with kept(tmp_path) as (_, found):
        short, long = [await found.create_token("one", ["write"], seconds=seconds) for seconds in (60, None)]
        ticket = await found.create_ticket(maker(found, long), seconds=60, terms=TERMS)
        for secret in (short.secret, long.secret, ticket.secret):
            assert found.principal(secret) is found.principal(secret)
        end = short.credential.expire_time or 0
        monkeypatch.setattr(directory, "now", lambda: end)
        with pytest.raises(errors.TokenExpired):
            found.principal(short.secret)
        found.principal(long.secret)
        monkeypatch.undo()
        await found.revoke(long.credential.id)
        for secret in (long.secret, ticket.secret):
            with pytest.raises(errors.TokenRevoked):
                found.principal(secret)


async def test_the_last_use_is_noted_in_each_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with kept(tmp_path) as (credentials, found):
        token = await found.create_token("one", ["read"])
        for hour in (1, 1, 2):
            monkeypatch.setattr(directory, "now", lambda hour=hour: hour * directory.HOUR + 5)
            found.principal(token.secret)
            await found.sweep()
            (kept_one,) = await credentials.all()
            assert kept_one.use_time == hour * directory.HOUR


async def test_a_session_is_no_token_and_a_token_is_no_session(tmp_path: Path) -> None:
    async with kept(tmp_path) as (_, found):
        token = await found.create_token("one", ["read"])
        session = await found.create_session(maker(found, token))
        with pytest.raises(errors.TokenUnknown):
            found.principal(session.secret)
        with pytest.raises(errors.TokenUnknown):
            found.session(token.secret)


async def test_revoking_is_tried_again_until_it_is_durable(tmp_path: Path) -> None:
    async with kept(tmp_path) as (credentials, found):
        token = await found.create_token("one", ["read"])
        credentials.fault = errors.StorageUnavailable()
        with pytest.raises(errors.StorageUnavailable):
            await found.revoke(token.credential.id)
        with pytest.raises(errors.TokenRevoked):
            found.principal(token.secret)
        with pytest.raises(errors.StorageUnavailable):
            await found.sweep()
        credentials.fault = None
        await found.sweep()
    async with kept(tmp_path) as (_, found):
        with pytest.raises(errors.TokenRevoked):
            found.principal(token.secret)


async def test_what_ended_is_forgotten_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it is told from what was never given out."""
    clock = now()
    monkeypatch.setattr(directory, "now", lambda: clock)
    async with kept(tmp_path) as (credentials, found):
        token = await found.create_token("one", ["write"], seconds=100)
        ticket = await found.create_ticket(maker(found, token), seconds=10, terms=TERMS)
        clock += 100_000_001
        await found.sweep()
        for one in (token, ticket):
            with pytest.raises(errors.TokenExpired):
                found.principal(one.secret)
        clock += directory.KEEP_OTHERS_SECONDS * 1_000_000
        await found.sweep()
        with pytest.raises(errors.TokenUnknown):
            found.principal(ticket.secret)
        assert [one.kind for one in await credentials.all()] == ["token"]
        clock += directory.KEEP_SECONDS * 1_000_000
        await found.sweep()
        assert await credentials.all() == []
        assert found.tokens(ended=True) == []


async def test_a_token_has_a_bound_on_its_tickets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that have ended do not count."""
    monkeypatch.setattr(directory, "MAX_CHILDREN", 2)
    async with kept(tmp_path) as (_, found):
        who = maker(found, await found.create_token("one", ["write"]))
        first = await found.create_ticket(who, seconds=60, terms=TERMS)
        await found.create_ticket(who, seconds=60, terms=TERMS)
        with pytest.raises(errors.QuotaExceeded):
            await found.create_ticket(who, seconds=60, terms=TERMS)
        await found.revoke(first.credential.id)
        assert await found.create_ticket(who, seconds=60, terms=TERMS)

        other = maker(found, await found.create_token("other", ["write"]))
        at_once = (found.create_ticket(other, seconds=60, terms=TERMS) for _ in range(5))
        made = await asyncio.gather(*at_once, return_exceptions=True)
        assert sum(isinstance(one, errors.QuotaExceeded) for one in made) == 3


async def test_a_ticket_never_outlives_its_token(tmp_path: Path) -> None:
    async with kept(tmp_path) as (_, found):
        token = await found.create_token("one", ["write"], seconds=5)
        ticket = await found.create_ticket(maker(found, token), seconds=3600, terms=TERMS)
        assert ticket.credential.expire_time == token.credential.expire_time


@pytest.mark.parametrize("owner", ["a\nb", "x" * 513, "a\0b"])
async def test_an_owner_is_a_name(tmp_path: Path, owner: str) -> None:
    async with kept(tmp_path) as (_, found):
        who = maker(found, await found.create_token("one", ["write"]))
        with pytest.raises(errors.InvalidField):
            await found.create_ticket(who, seconds=60, terms=TERMS, owner=owner)


def nearly(secret: str, other: str) -> list[str]:
    """What is nearly the secret."""
    flipped = [
        secret[:at] + chr(ord(secret[at]) ^ 1 << bit) + secret[at + 1 :]
        for at in range(len(secret))
        for bit in range(8)
    ]
    swapped = [
        secret[:at] + secret[at + 1] + secret[at] + secret[at + 2 :]
        for at in range(len(secret) - 1)
        if secret[at] != secret[at + 1]
    ]
    cut = [text for at in range(1, len(secret)) for text in (secret[:at], secret[at:])]
    longer = [secret + end for end in ("0", " ", "\n", "\0", "=", "\u200b")] + [
        " " + secret,
        "\ufeff" + secret,
    ]
    alike = [secret.translate({ord(a): b}) for a, b in zip("aceopxABEHKMT", "асеорхАВЕНКМТ", strict=True)]
    form = [secret.upper(), secret.lower(), secret.swapcase(), secret[::-1]]
    prefixes = [TICKET + secret[4:], SESSION + secret[4:], secret[4:], "cnx-" + secret[4:]]
    hashes = [digest(secret).hex(), digest(secret).decode("latin-1"), TOKEN + digest(secret).hex()[:49]]
    mixed = [secret[:-6] + other[-6:], secret[:20] + other[20:], mint(TOKEN), mint(TICKET)]
    found = [*flipped, *swapped, *cut, *longer, *alike, *form, *prefixes, *hashes, *mixed]
    return [text for text in found if text != secret]


async def test_a_hundred_thousand_wrong_secrets_let_nobody_in(tmp_path: Path) -> None:
    tried = 0
    async with kept(tmp_path) as (_, found):
        tokens = [await found.create_token("one", ["admin"]) for _ in range(4)]
        while tried < 100_000:
            at = secrets.randbelow(len(tokens))
            secret = tokens[at].secret
            wrong = nearly(secret, tokens[at - 1].secret)
            wrong += [tokens[at].credential.id, tokens[at].credential.owner, ""]
            wrong += [mint(TOKEN) for _ in range(300)]
            wrong += [secrets.token_urlsafe(secrets.randbelow(100)) for _ in range(300)]
            for text in wrong:
                for find in (found.principal, found.session):
                    with pytest.raises((errors.TokenMistyped, errors.TokenUnknown)):
                        find(text)
            tried += len(wrong)
        for token in tokens:
            assert found.principal(token.secret)
