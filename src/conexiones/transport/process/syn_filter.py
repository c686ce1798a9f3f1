"""Whose connections wait to be accepted at a socket that listens, and a filter by which the kernel takes no
more from these clients for a while.

The filter is one of classic BPF (https://docs.kernel.org/networking/filter.html), which needs no privilege.
It drops packets that ask for a connection, so that their client asks again after a second, as if the line
were full. Connections that are there are not touched. A client is an address or, of IPv6, a network of 64
bits.
"""

import ctypes
import re
import socket
import struct
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

MOST = 32
"""Clients that are held off at a time: a jump of the filter passes over 255 instructions at most."""

_TABLES = {socket.AF_INET: Path("/proc/self/net/tcp"), socket.AF_INET6: Path("/proc/self/net/tcp6")}
"""Those of the process are there also where a unit of systemd hides all else in /proc."""

_CHUNK = 1 << 16
"""Bytes of a table that are searched at a time: a search keeps all other threads waiting."""

_ROW = rb"^ *\d+: [0-9A-F]+:%04X ([0-9A-F]+):[0-9A-F]{4} 0[18] \S+ \S+ \S+ +\d+ +\d+ 0 "
"""A connection of that port of ours that is established, or closed by its client, and that no process has."""

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27

# Instructions of classic BPF: the next word or byte, "and", the jump if equal, and the verdict.
_WORD, _BYTE, _AND, _IF, _RETURN = 0x20, 0x30, 0x54, 0x15, 0x06
_IP = -0x100000
"""Where the header of IP is; that of TCP is at 0."""

_TCP_FLAGS, _SYN, _SYN_ACK = 13, 0x02, 0x12
_SOURCE4, _SOURCE6 = _IP + 12, _IP + 8

_Instruction = tuple[int, int, int, int]
"""The code, the jumps if it is true and if it is not, and the operand."""


def line_of(listening: socket.socket) -> Counter[bytes]:
    """How many connections of each client wait to be accepted. Raises OSError."""
    row = re.compile(_ROW % listening.getsockname()[1], re.MULTILINE)
    found: Counter[bytes] = Counter()
    for piece in _pieces(_TABLES[listening.family]):
        found.update(map(_client, row.findall(piece)))
    return found


def hold_off(listening: socket.socket, clients: Collection[bytes]) -> None:
    """Has the kernel drop what these clients, and nobody else, ask for. Raises OSError."""
    program = b"".join(struct.pack("=HBBi", *one) for one in _program([*clients][:MOST]))
    buffer = ctypes.create_string_buffer(program)
    # struct sock_fprog of <linux/filter.h>
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)


def let_in(listening: socket.socket) -> None:
    """Takes the filter away. Raises OSError."""
    listening.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def _pieces(table: Path) -> Iterator[bytes]:
    """The table in pieces of whole lines."""
    rest = b""
    with table.open("rb", buffering=0) as file:
        while data := file.read(_CHUNK):
            lines, end, rest = (rest + data).rpartition(b"\n")
            yield lines + end


def _client(address: bytes) -> bytes:
    """The client at an address as the table has it: in words of 32 bits, each in the order of the machine."""
    words = (address[at : at + 8] for at in range(0, len(address), 8))
    raw = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    if len(raw) == 4:
        return raw
    return raw[12:] if raw.startswith(bytes(10) + b"\xff\xff") else raw[:8]


def _program(clients: Collection[bytes]) -> list[_Instruction]:
    fours = [int.from_bytes(client, signed=True) for client in clients if len(client) == 4]
    sixes = [struct.unpack("!ii", client) for client in clients if len(client) == 8]
    code: list[_Instruction] = [
        (_BYTE, 0, 0, _TCP_FLAGS),
        (_AND, 0, 0, _SYN_ACK),
        (_IF, 1, 0, _SYN),  # anything else is taken
        (_RETURN, 0, 0, -1),
        (_BYTE, 0, 0, _IP),
        (_AND, 0, 0, 0xF0),  # the version
        (_IF, 0, 1 + len(fours) + 1, 0x40),
        (_WORD, 0, 0, _SOURCE4),
    ]
    behind = 4 * len(sixes) + 1  # from the end of the comparisons of IPv4 to the verdict that drops
    code += [(_IF, len(fours) - 1 - at + 1 + behind, 0, four) for at, four in enumerate(fours)]
    code.append((_RETURN, 0, 0, -1))
    for at, (high, low) in enumerate(sixes):
        code += [
            (_WORD, 0, 0, _SOURCE6),
            (_IF, 0, 2, high),
            (_WORD, 0, 0, _SOURCE6 + 4),
            (_IF, 4 * (len(sixes) - 1 - at) + 1, 0, low),
        ]
    return [*code, (_RETURN, 0, 0, -1), (_RETURN, 0, 0, 0)]
