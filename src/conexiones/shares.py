"""What clients share is divided: a share for each, and a line in which they take turns.

A share depends on what is left. A client may hold half of what all others leave, so one alone gets a half,
two get a third each, and one that comes later always finds some. Within its share, each connection of the
client has the same rule.
"""

import asyncio
import ipaddress
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_IPV6_NETWORK = 64
"""Bits of an IPv6 address that tell clients apart: one client has all addresses of its network."""


class Caller(NamedTuple):
    """Who asks for something shared: a client, by a key, and one of its connections."""

    client: str
    connection: str = ""


SERVER = Caller("")
"""The server itself, for work that no client waits for."""

_ACTING_FOR: ContextVar[Caller] = ContextVar("acting_for", default=SERVER)


def act_for(caller: Caller) -> None:
    """Says for whom the present task works from now on, and the tasks that it begins."""
    _ACTING_FOR.set(caller)


def acting_for() -> Caller:
    """For whom the present task works. So what is shared far behind a call, such as the threads that read,
    can give turns without a parameter of every function in between."""
    return _ACTING_FOR.get()


@lru_cache(4096)
def client_of(address: str) -> str:
    """The key of the client at an IP address. What is no address is its own key."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, _IPV6_NETWORK), strict=False))


class Shares:
    """How much of `limit` each caller holds.

    A connection that holds at most `places` may have a half more than its client's share: so the others of
    its client do not leave it without any.
    """

    def __init__(self, limit: int, *, places: int = 0) -> None:
        self.limit = limit
        self.places = places
        self.held = 0
        self._clients: dict[str, int] = {}
        self._connections: dict[Caller, int] = {}

    def of(self, client: str) -> int:
        """What a client holds."""
        return self._clients.get(client, 0)

    def of_connection(self, caller: Caller) -> int:
        """What one connection of a client holds."""
        return self._connections.get(caller, 0)

    def most(self) -> int:
        """What the client holds that holds most."""
        return max(self._clients.values(), default=0)

    def within(self, caller: Caller, size: int) -> bool:
        """Whether the caller's share has room for `size` more, whether or not that is free now."""
        total = self._clients.get(caller.client, 0)
        if not total:
            return True
        mine = self._connections.get(caller, 0)
        share = (self.limit - self.held + total + 1) // 2
        if mine + size <= self.places:
            return total + size <= share + (share + 1) // 2
        if total + size > share:
            return False
        return not mine or mine + size <= (share - total + mine + 1) // 2

    def full(self, client: str) -> bool:
        """Whether no connection of the client may have any more."""
        total = self._clients.get(client, 0)
        share = (self.limit - self.held + total + 1) // 2
        return total > 0 and total >= share + ((share + 1) // 2 if self.places else 0)

    def free(self, size: int) -> bool:
        """Whether so much is free, whoever asks for it."""
        return self.held + size <= self.limit

    def take(self, caller: Caller, size: int) -> None:
        """Takes it, whether or not it is free or within the share."""
        clients, connections, client = self._clients, self._connections, caller.client
        clients[client] = clients.get(client, 0) + size
        connections[caller] = connections.get(caller, 0) + size
        self.held += size

    def give(self, caller: Caller, size: int) -> None:
        """Gives back what `take` took."""
        clients, connections, client = self._clients, self._connections, caller.client
        self.held -= size
        if left := clients[client] - size:
            clients[client] = left
        else:
            del clients[client]
        if left := connections[caller] - size:
            connections[caller] = left
        else:
            del connections[caller]


class FairLine(Generic[T]):
    """A line of items. Clients take turns, in each client its connections do, and the items of a connection
    keep their order."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, OrderedDict[str, deque[T]]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def waiting(self, client: str) -> int:
        """How many items of a client are in the line."""
        return sum(map(len, self._clients.get(client, {}).values()))

    def waiting_on(self, caller: Caller) -> int:
        """How many items of one connection of a client are in the line."""
        connections = self._clients.get(caller.client)
        return len(connections.get(caller.connection, ())) if connections else 0

    def push(self, caller: Caller, item: T) -> None:
        connections = self._clients.setdefault(caller.client, OrderedDict())
        connections.setdefault(caller.connection, deque()).append(item)
        self._length += 1

    def __iter__(self) -> Iterator[T]:
        for connections in self._clients.values():
            for items in connections.values():
                yield from items

    def next(self) -> tuple[Caller, T]:
        """The item whose turn it is, behind whose it is. IndexError if the line is empty."""
        for client, connections in self._clients.items():
            for connection, items in connections.items():
                return Caller(client, connection), items[0]
        raise IndexError("nothing waits")

    def heads(self) -> Iterator[tuple[str, Iterator[tuple[Caller, T]]]]:
        """The clients in the order of their turns, and of each the first item of each of its connections, in
        theirs. It ends at a change of the line."""
        for client, connections in self._clients.items():
            yield client, ((Caller(client, name), items[0]) for name, items in connections.items())

    def turns(self) -> list[tuple[Caller, T]]:
        """The first item of each connection, in the order of their turns."""
        depth = max(map(len, self._clients.values()), default=0)
        rows = [list(connections.items()) for connections in self._clients.values()]
        names = list(self._clients)
        return [
            (Caller(names[at], row[place][0]), row[place][1][0])
            for place in range(depth)
            for at, row in enumerate(rows)
            if place < len(row)
        ]

    def remove(self, caller: Caller, item: T, *, served: bool) -> None:
        """Takes an item out, which has to be in the line. If it was `served`, it was the turn of its client
        and of its connection, and the others come first the next time."""
        connections = self._clients[caller.client]
        items = connections[caller.connection]
        items.remove(item)
        self._length -= 1
        if not items:
            del connections[caller.connection]
        elif served:
            connections.move_to_end(caller.connection)
        if not connections:
            del self._clients[caller.client]
        elif served:
            self._clients.move_to_end(caller.client)


class Turns:
    """Places to work in, of which each client has at most `each`: `async with turns`.

    Whoever finds none waits in a fair line. Used on one event loop. `waited` is told the seconds of each
    wait, also of one that was cancelled.
    """

    def __init__(self, places: int, *, each: int) -> None:
        self.limit = places
        self.waited: Callable[[float], None] = lambda seconds: None
        self._free = places
        self._each = each
        self._held: Counter[str] = Counter()
        self._line: FairLine[asyncio.Future[None]] = FairLine()

    async def __aenter__(self) -> None:
        caller = acting_for()
        if self._free and self._held[caller.client] < self._each:
            self._take(caller)
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        begun = loop.time()
        self._line.push(caller, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._line.remove(caller, turn, served=False)
                self._hand_out()  # places that became free meanwhile, for those behind it
            else:  # it was its turn, too late
                self._give(caller)
            raise
        finally:
            self.waited(loop.time() - begun)

    async def __aexit__(self, *_: object) -> None:
        self._give(acting_for())

    @property
    def held(self) -> int:
        """Places that are taken."""
        return self.limit - self._free

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    def _take(self, caller: Caller) -> None:
        self._free -= 1
        self._held[caller.client] += 1

    def _give(self, caller: Caller) -> None:
        self._free += 1
        self._held[caller.client] -= 1
        if not self._held[caller.client]:
            del self._held[caller.client]
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free and (found := self._first()) is not None:
            caller, turn = found
            self._line.remove(caller, turn, served=True)
            self._take(caller)
            turn.set_result(None)

    def _first(self) -> tuple[Caller, asyncio.Future[None]] | None:
        """Whose turn it is. One that was cancelled is passed over, with those behind it on its connection,
        until it has left the line."""
        for client, heads in self._line.heads():
            if self._held[client] < self._each:
                for caller, turn in heads:
                    if not turn.done():
                        return caller, turn
        return None
