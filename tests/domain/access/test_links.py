"""Signed links: only what was signed opens, with any spelling of it that means the same."""

from pathlib import Path
from urllib.parse import parse_qsl, quote

import pytest

from conexiones import errors
from conexiones.domain.access import Directory, Links, links
from conexiones.domain.access.certificates import Certificates, Rules
from conexiones.domain.ids import now
from conexiones.principals import EVERYBODY, Certificate, Principal, Scope, Terms
from tests.domain.access.kept import kept

OPTIONS = [("width", "8"), ("name", "a b&c=ñ"), ("download", "")]
NOBODY = Principal()


def pair(link: str) -> tuple[str, str]:
    path, _, query = link.partition("?")
    return path, query


async def test_a_link_is_opened_as_it_was_signed(tmp_path: Path) -> None:
    async with kept(tmp_path) as (credentials, directory):
        found = Links(credentials, directory)
        await found.open()
        path, query = pair((await found.sign(NOBODY, "/images/1", OPTIONS, seconds=60)).path)
        principal, options = found.opened(path, query)
        assert principal.scopes == {"read"}
        assert dict(parse_qsl(options, keep_blank_values=True)) == dict(OPTIONS)
        # Another order, and other escapes of the same characters, are the same options.
        pairs = query.split("&")
        assert found.opened(path, "&".join(reversed(pairs)))[1] == options
        assert (
            found.opened(path, query.replace("a+b", "a%20b").replace("width=8", "%77idth=%38"))[1] == options
        )


async def test_nothing_else_is_opened(tmp_path: Path) -> None:
    async with kept(tmp_path) as (credentials, directory):
        found = Links(credentials, directory)
        await found.open()
        path, query = pair((await found.sign(NOBODY, "/images/1", OPTIONS, seconds=60)).path)
        signature = dict(parse_qsl(query))["signature"]
        changed = [
            f"{query}&width=8",
            f"{query}&width=9",
            f"{query}&height=",
            f"{query}&signature={signature}",
            f"{query}&expires=99999999999",
            f"{query}&",
            query.replace("width=8", "width=08"),
            query.replace("width=8", "width=8%00"),
            query.replace("width=8", "width=%EF%BC%98"),
            query.replace("width=8", "width=%FF"),
            query.replace("width=8", "Width=8"),
            query.replace("download=&", ""),
            query.replace("expires=", "expires=+"),
            query.replace("expires=", "expires=0"),
            query.replace("by=", "by=x"),
            query.replace("signature=", "signature=%20"),
            query.replace(signature, signature + "="),
            query.replace(signature, signature[:-1]),
            query.replace(signature, signature.swapcase()),
            query.replace(signature, ""),
            query.replace(signature, quote("é" * 43)),
            query.replace("&", ";"),
            query + "&x=1" * 20,
            "signature=",
            "",
            "%",
        ]
        for one in changed:
            with pytest.raises(errors.LinkInvalid):
                found.opened(path, one)
        for other in ("/images/2", "/images/1/", "/images/1%20", "/Images/1", "/images/"):
            with pytest.raises(errors.LinkInvalid):
                found.opened(other, query)
        assert found.opened(path, query)


async def test_a_link_ends_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = now()
    monkeypatch.setattr(links, "now", lambda: clock)
    async with kept(tmp_path) as (credentials, directory):
        found = Links(credentials, directory)
        await found.open()
        path, query = pair((await found.sign(NOBODY, "/images/1", [], seconds=60)).path)
        clock += 59_000_000
        assert found.opened(path, query)
        clock += 2_000_000
        with pytest.raises(errors.LinkExpired):
            found.opened(path, query)
        for seconds in (0, 0.5, links.MAX_SECONDS + 1, float("nan"), float("inf")):
            with pytest.raises(errors.InvalidField):
                await found.sign(NOBODY, "/images/1", [], seconds=seconds)


async def test_keys_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the clock was set back: the newest key signs, and links that ended stay so after a start."""
    clock = now()
    monkeypatch.setattr(links, "now", lambda: clock)
    async with kept(tmp_path) as (credentials, directory):
        found = Links(credentials, directory)
        await found.open()
        first = (await found.sign(NOBODY, "/images/1", [], seconds=60)).path
        clock -= 10_000_000
        key = await found.rotate()
        second = (await found.sign(NOBODY, "/images/1", [], seconds=60)).path
        assert f"key={key}" in second
        assert found.opened(*pair(first))
        ended: list[bool] = []
        found.on_end = lambda: ended.append(True)
        await found.rotate()
        assert not ended
        await found.rotate(end_links=True)
        assert ended
        third = (await found.sign(NOBODY, "/images/1", [], seconds=60)).path
        again = Links(credentials, directory)
        await again.open()
        for each in (found, again):
            for one in (first, second):
                with pytest.raises(errors.LinkInvalid):
                    each.opened(*pair(one))
            assert each.opened(*pair(third))


@pytest.mark.parametrize("scopes", [{"read"}, {"write"}])
async def test_what_nobody_made_ends_with_what_nobody_may(tmp_path: Path, scopes: set[Scope]) -> None:
    """Where a credential is asked for that was not before."""
    async with kept(tmp_path) as (credentials, directory):
        found = Links(credentials, directory)
        await found.open()
        link = await found.sign(EVERYBODY, "/images/1", [], seconds=3600)
        ticket = await directory.create_ticket(EVERYBODY, seconds=3600, terms=Terms(bytes=1, images=1))
        assert found.opened(*pair(link.path))[0].credential == ""
        assert directory.principal(ticket.secret)
        again = Directory(credentials, nobody=Principal(scopes=frozenset(scopes)))
        await again.open()
        found = Links(credentials, again)
        await found.open()
        if "read" in scopes:
            assert found.opened(*pair(link.path))
            with pytest.raises(errors.TokenRevoked):
                again.principal(ticket.secret)
        else:
            assert again.principal(ticket.secret)
            with pytest.raises(errors.LinkInvalid):
                found.opened(*pair(link.path))


async def test_what_a_jwt_made_ends_with_it(tmp_path: Path) -> None:
    async with kept(tmp_path) as (credentials, directory):
        found = Links(credentials, directory)
        await found.open()
        holder = Principal(subject="jwt:a", owner="jwt:a", expires=now() / 1e6 + 100)
        link = await found.sign(holder, "/images/1", [], seconds=3600)
        ticket = await directory.create_ticket(holder, seconds=3600, terms=Terms(bytes=1, images=1))
        assert link.expires <= (holder.expires or 0) + 1
        assert (ticket.credential.expire_time or 0) <= (holder.expires or 0) * 1e6 + 1


async def test_what_a_certificate_made_ends_with_the_rights_of_its_holder(tmp_path: Path) -> None:
    """Its links and tickets do, also if the rules were changed while no server ran, and they do not come back
    with the rights."""
    rules = {
        scopes: Rules.parse(f"[[rule]]\nsubject = 'CN=a'\nscopes = [{scopes}]")
        for scopes in ("'read'", "'read', 'write'", "")
    }
    shown = Certificate(subject="CN=a", expires=now() / 1e6 + 1000)
    held = Certificates(rules["'read', 'write'"])
    holder = held.principal(shown)
    async with kept(tmp_path) as (credentials, directory):
        found = Links(credentials, directory)
        await found.open()
        link, again = [await found.sign(holder, "/images/1", [], seconds=3600) for _ in range(2)]
        assert link.expires <= (shown.expires or 0) + 1
        ticket = await directory.create_ticket(holder, seconds=60, terms=Terms(bytes=1, images=1))
        (made,) = directory.held_certificates()
        assert made.certificate == shown
        assert found.opened(*pair(link.path))[0].credential == made.credential
        assert ticket.credential.parent == made.credential
        assert held.keeps(made)
    async with kept(tmp_path) as (credentials, directory):
        found = Links(credentials, directory)
        await found.open()
        held = Certificates(rules["'read'"])
        (made,) = directory.held_certificates()
        assert not held.keeps(made)
        await directory.revoke(made.credential)
        for one in (link, again):
            with pytest.raises(errors.TokenRevoked):
                found.opened(*pair(one.path))
        with pytest.raises(errors.TokenRevoked):
            directory.principal(ticket.secret)
        later = await found.sign(held.principal(shown), "/images/1", [], seconds=3600)
        held.replace(rules["'read', 'write'"])
        (made,) = directory.held_certificates()
        assert held.keeps(made)
        assert found.opened(*pair(later.path))
        with pytest.raises(errors.TokenRevoked):
            found.opened(*pair(link.path))
        await found.sign(held.principal(shown), "/images/1", [], seconds=3600)
        assert len(directory.held_certificates()) == 2  # with its new rights it is another one


async def test_a_link_ends_with_the_token_that_signed_it(tmp_path: Path) -> None:
    async with kept(tmp_path) as (credentials, directory):
        found = Links(credentials, directory)
        await found.open()
        token = await directory.create_token("one", ["read"], seconds=100)
        link = await found.sign(directory.principal(token.secret), "/images/1", [], seconds=3600)
        assert token.credential.expire_time
        assert link.expires <= token.credential.expire_time / 1e6 + 1
        assert found.opened(*pair(link.path))[0].credential == token.credential.id
        await directory.revoke(token.credential.id)
        with pytest.raises(errors.TokenRevoked):
            found.opened(*pair(link.path))
        shown = repr((link, await credentials.keys()))
        assert dict(parse_qsl(link.path))["signature"] not in shown
        assert all(repr(key.secret) not in shown for key in await credentials.keys())


async def test_servers_that_forget_keys_at_once_forget_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept(tmp_path) as (credentials, directory):
        found = Links(credentials, directory)
        await found.open()
        for _ in range(3):  # as servers do that make a key at the same time
            await found.rotate()
        path, query = pair((await found.sign(NOBODY, "/images/1", OPTIONS, seconds=60)).path)
        forget = credentials.forget_keys

        async def by_all(*, created_before: int) -> None:
            keys = await credentials.keys()
            await forget(created_before=keys[-1].create_time)
            found.take(await credentials.keys())

        monkeypatch.setattr(credentials, "forget_keys", by_all)
        monkeypatch.setattr(links, "MAX_SECONDS", 0)
        await found.sweep()
        monkeypatch.undo()
        assert found.opened(path, query)
        assert await found.sign(NOBODY, "/images/1", OPTIONS, seconds=1)
        await found.sweep()
