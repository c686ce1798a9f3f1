"""Shares and turns."""

import asyncio

import pytest

from conexiones.shares import Caller, FairLine, Shares, Turns, act_for, client_of
from tests.support.waiting import DEADLINE, idle

ANA, BEA, EVA = Caller("ana", "1"), Caller("bea", "1"), Caller("eva", "1")


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("/run/a.sock", "/run/a.sock"),
    ],
)
def test_a_client_is_an_address_and_in_ipv6_a_network(address: str, client: str) -> None:
    assert client_of(address) == client


def filled(shares: Shares, caller: Caller, size: int = 1) -> int:
    """Takes as often as the share allows; gives how much the caller holds then."""
    while shares.within(caller, size) and shares.free(size):
        shares.take(caller, size)
    return shares.of_connection(caller)


def test_whoever_comes_later_always_finds_some() -> None:
    shares = Shares(1000)
    held = [filled(shares, Caller(str(number), "1")) for number in range(8)]
    assert held == sorted(held, reverse=True)
    assert held[0] <= 500
    assert held[-1] > 0
    assert shares.held < 1000


def test_the_connections_of_a_client_share_what_it_has() -> None:
    shares = Shares(1000)
    first = filled(shares, Caller("ana", "1"))
    second = filled(shares, Caller("ana", "2"))
    assert first >= second > 0
    assert shares.of("ana") == first + second <= 500


def test_one_that_holds_nothing_may_have_one_whatever_its_size() -> None:
    shares = Shares(100)
    assert shares.within(ANA, 100)
    shares.take(ANA, 100)
    assert not shares.within(ANA, 1)
    assert shares.within(BEA, 100)
    assert not shares.free(1)


def test_a_connection_with_little_finds_some_beside_the_share_of_its_client() -> None:
    shares = Shares(100, places=10)
    shares.take(ANA, 50)
    assert not shares.within(ANA, 1)
    assert filled(shares, Caller("ana", "2")) == 10
    for number in range(3, 20):
        filled(shares, Caller("ana", str(number)))
    assert shares.of("ana") <= 75, "others still find a quarter"


def test_what_is_given_back_is_free_again() -> None:
    shares = Shares(10)
    filled(shares, ANA)
    filled(shares, BEA)
    shares.give(ANA, shares.of("ana"))
    shares.give(BEA, shares.of("bea"))
    assert (shares.held, shares.most()) == (0, 0)


def order(line: FairLine[str]) -> list[str]:
    found = []
    while line:
        caller, item = line.turns()[0]
        line.remove(caller, item, served=True)
        found.append(item)
    return found


def test_clients_take_turns_and_so_do_their_connections() -> None:
    line: FairLine[str] = FairLine()
    for number in range(3):
        line.push(ANA, f"ana {number}")
    line.push(Caller("ana", "2"), "ana on 2")
    line.push(BEA, "bea")
    line.push(EVA, "eva")
    assert order(line) == ["ana 0", "bea", "eva", "ana on 2", "ana 1", "ana 2"]


def test_the_turns_are_those_of_the_connections() -> None:
    line: FairLine[str] = FairLine()
    line.push(ANA, "ana")
    line.push(Caller("ana", "2"), "ana on 2")
    line.push(BEA, "bea")
    assert [item for _, item in line.turns()] == ["ana", "bea", "ana on 2"]


def test_one_that_leaves_the_line_takes_no_turn() -> None:
    line: FairLine[str] = FairLine()
    for item in ("a", "b"):
        line.push(ANA, item)
    line.push(BEA, "bea")
    line.remove(ANA, "a", served=False)
    assert (len(line), line.waiting("ana")) == (2, 1)
    assert order(line) == ["b", "bea"]


class Room:
    """Who is in a room with turns, and who has been."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.inside: list[str] = []
        self.order: list[str] = []

    def enter(self, client: str) -> tuple[asyncio.Task[None], asyncio.Event]:
        """A caller that works until its event is set."""
        leave = asyncio.Event()

        async def work() -> None:
            act_for(Caller(client))
            async with self.turns:
                self.inside.append(client)
                self.order.append(client)
                await leave.wait()
                self.inside.remove(client)

        return asyncio.create_task(work()), leave


async def test_places_are_taken_in_turns_and_no_client_has_all() -> None:
    room = Room(Turns(3, each=2))
    greedy = [room.enter("greedy") for _ in range(5)]
    await idle()
    assert room.inside == ["greedy", "greedy"]
    others = [room.enter(name) for name in ("a", "b")]
    await idle()
    assert room.inside == ["greedy", "greedy", "a"]
    greedy[0][1].set()
    await idle()
    assert room.inside == ["greedy", "a", "greedy"], "it was the first to wait"
    greedy[1][1].set()
    await idle()
    assert room.inside == ["a", "greedy", "b"], "and then it is the turn of others"
    for _, leave in (*greedy, *others):
        leave.set()
    await asyncio.gather(*(task for task, _ in (*greedy, *others)))
    assert room.order == ["greedy", "greedy", "a", "greedy", "b", "greedy", "greedy"]


async def test_a_place_that_becomes_free_as_the_first_gives_up_goes_to_those_behind_it() -> None:
    room = Room(Turns(2, each=2))
    held = [room.enter("one") for _ in range(2)]
    await idle()
    (first, _), *behind = (room.enter("one") for _ in range(3))
    await idle()
    for _, leave in held:
        leave.set()
    first.cancel()  # they leave before it knows
    await idle()
    assert room.order == ["one"] * 4
    for _, leave in behind:
        leave.set()
    await asyncio.gather(*(task for task, _ in (*held, *behind)))


async def test_a_turn_that_nobody_takes_goes_to_the_next() -> None:
    room = Room(Turns(1, each=1))
    async with room.turns:
        (waits, _), (late, _), (last, leave) = (room.enter(name) for name in ("waits", "late", "last"))
        await idle()
        waits.cancel()
        await idle()
    late.cancel()  # its turn has come, but it has not run yet
    await idle()
    assert room.order == ["last"]
    leave.set()
    await last
    async with asyncio.timeout(DEADLINE), room.turns:  # no place was lost
        pass


async def test_waits_for_a_turn_are_told_whatever_their_end() -> None:
    turns, waits = Turns(1, each=1), list[float]()
    turns.waited = waits.append

    async def work() -> None:
        async with turns:
            pass

    async with turns:
        served, gone = (asyncio.create_task(work()) for _ in range(2))
        await asyncio.sleep(0)
        assert (turns.held, turns.waiting, waits) == (1, 2, [])
        gone.cancel()
    await asyncio.gather(served, gone, return_exceptions=True)
    assert (turns.held, turns.waiting, len(waits)) == (0, 0, 2)
