"""Signed links: each opens one image, or one rendition of it, for whoever has it.

A link is the path and the query of an image, then when it expires, the credential that signed it, the key,
and an HMAC-SHA-256 over all of these and the method. Whoever changes any of it has no link any more.
"""

import asyncio
import base64
import hashlib
import hmac
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final
from urllib.parse import parse_qsl, urlencode

from conexiones import errors
from conexiones.domain.access.directory import Directory
from conexiones.domain.ids import now
from conexiones.ports.access import Credentials, LinkKey
from conexiones.principals import LINK, Principal

MAX_SECONDS = 7 * 24 * 3600
"""The longest time that a link works."""

DEFAULT_SECONDS = 3600

KEY_SECONDS = 30 * 24 * 3600
"""After this time another key signs."""

_NOBODY: Final = "nobody"
"""Stands in a link for the id of the credential that signed it, where none did."""

_NO_ID: Final = ("", _NOBODY)
"""What is no id there. It is empty for a JWT, with which the link expires."""

_ADDED: Final = ("expires", "by", "key", "signature")
_KEY_BYTES = 32
_OPTIONS = 16


@dataclass(frozen=True, slots=True)
class Link:
    """A link that was just signed. `expires` is in seconds since the epoch."""

    path: str = field(repr=False)
    expires: int


class Links:
    """Signs links, and checks those that come. `open` has to be awaited before. `on_end` is called when all
    links end that there are: what they have opened is to end, too."""

    def __init__(self, credentials: Credentials, directory: Directory) -> None:
        self._credentials = credentials
        self._directory = directory
        self._keys: list[LinkKey] = []  # oldest first; the last one signs
        self._rotating = asyncio.Lock()
        self._oldest = 0  # the create_time of the first key whose links have not been ended
        self.on_end: Callable[[], None] = lambda: None

    async def open(self) -> None:
        """Reads the keys, and makes the first one. Raises StorageFull, StorageUnavailable."""
        self._keys = await self._credentials.keys()
        if not self._keys:
            await self.rotate()

    def take(self, keys: Sequence[LinkKey]) -> None:
        """Takes over the keys that there are, of which another server may have made or forgotten some."""
        keys = [key for key in keys if key.create_time >= self._oldest]
        if not keys:
            return
        left = {key.id for key in keys}
        before, self._keys = self._keys, list(keys)
        for key, later in pairwise([*before, self._keys[-1]]):
            if key.id not in left and later.create_time >= now() - MAX_SECONDS * 1_000_000:
                self.on_end()  # some of its links would still work
                return

    async def sign(
        self, maker: Principal, path: str, options: Sequence[tuple[str, str]], *, seconds: float
    ) -> Link:
        """A link to that path, whose query has the options. It ends when the maker's credential does.
        Raises InvalidField, QuotaExceeded, StorageFull and StorageUnavailable."""
        if not 1 <= seconds <= MAX_SECONDS:
            raise errors.InvalidField(field="ttl", takes=f"1 to {MAX_SECONDS} seconds")
        expires = math.ceil(now() / 1e6 + seconds)
        by = await self._directory.maker(maker) if maker.subject else _NOBODY
        # A link outlives the session in which it was made, and ends with the token.
        end = self._directory.principal_of(by).expires if by not in _NO_ID else maker.expires
        if end is not None:
            expires = min(expires, math.ceil(end))
        key = self._keys[-1]
        added = [("expires", str(expires)), ("by", by), ("key", key.id)]
        query = [*sorted(options), *added]
        query.append(("signature", _signature(key, path, query)))
        return Link(f"{path}?{urlencode(query)}", expires)

    def opened(self, path: str, query: str) -> tuple[Principal, str]:
        """Who may open a link, for as long as it works, and its query without what makes it a link.

        Raises LinkInvalid, LinkExpired, TokenExpired and TokenRevoked.
        """
        try:
            pairs = parse_qsl(
                query, keep_blank_values=True, strict_parsing=True, max_num_fields=_OPTIONS, errors="strict"
            )
        except ValueError:
            raise errors.LinkInvalid from None
        values = dict(pairs)
        if len(values) < len(pairs) or not values.keys() >= set(_ADDED):
            raise errors.LinkInvalid
        options = sorted(pair for pair in pairs if pair[0] not in _ADDED)
        signed = [*options, *((name, values[name]) for name in _ADDED[:-1])]
        key = next((key for key in self._keys if key.id == values["key"]), None)
        # The signature is compared where there is no such key, too: the answer takes as long.
        right = _signature(key or self._keys[-1], path, signed)
        if not hmac.compare_digest(right.encode(), values["signature"].encode()) or key is None:
            raise errors.LinkInvalid
        expires = int(values["expires"])
        if expires <= now() / 1e6:
            raise errors.LinkExpired
        by = values["by"]
        if by == _NOBODY:
            if "read" not in self._directory.nobody.scopes:
                raise errors.LinkInvalid  # they might read when it was signed, and may not now
        elif by:
            self._check_maker(by)
        credential = "" if by in _NO_ID else by
        principal = Principal(
            subject=LINK, scopes=frozenset({"read"}), credential=credential, expires=float(expires)
        )
        return principal, urlencode(options)

    def _check_maker(self, credential_id: str) -> None:
        """Raises TokenExpired, TokenRevoked, LinkInvalid if the token that signed is not good any more."""
        try:
            self._directory.principal_of(credential_id)
        except errors.TokenUnknown:
            raise errors.LinkInvalid from None

    async def rotate(self, *, end_links: bool = False) -> str:
        """Makes a new key, which signs from now on, and gives its id. Links of older keys work on, or end."""
        async with self._rotating:
            # The order of keys is that of their times, also where a clock was set back.
            time = await self._credentials.shared_time(now())
            time = max([time, *(key.create_time + 1 for key in self._keys)])
            key = LinkKey(id=secrets.token_hex(4), secret=secrets.token_bytes(_KEY_BYTES), create_time=time)
            await self._credentials.add_key(key)
            self._keys = [*(one for one in self._keys if one.id != key.id), key]
            if end_links:
                self._keys, self._oldest = [key], key.create_time
                self.on_end()
                await self._credentials.forget_keys(created_before=key.create_time)
            return key.id

    async def sweep(self) -> None:
        """Makes a new key after KEY_SECONDS, and forgets those whose links have all expired. Call it at
        intervals."""
        time = await self._credentials.shared_time(now())
        if self._keys[-1].create_time < time - KEY_SECONDS * 1_000_000:
            await self.rotate()
        while len(self._keys) > 1 and self._keys[1].create_time < time - MAX_SECONDS * 1_000_000:
            before = self._keys[1].create_time
            await self._credentials.forget_keys(created_before=before)
            # They may be others by now: another server forgets them at the same time.
            self._keys = [key for key in self._keys if key.create_time >= before]


def _signature(key: LinkKey, path: str, query: Sequence[tuple[str, str]]) -> str:
    text = "\n".join(("GET", path, urlencode(query)))
    mac = hmac.new(key.secret, text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
