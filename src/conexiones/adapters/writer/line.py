"""What waits to be sent to the writing process, and in which order."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from conexiones.shares import FairLine, acting_for

T = TypeVar("T")


class Line(Generic[T]):
    """A line in which clients take turns, and which has a front and an end."""

    def __init__(self) -> None:
        self._front: deque[T] = deque()
        self._parts: deque[FairLine[T] | T] = deque()  # no line in it is empty
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        yield from self._front
        for part in self._parts:
            if isinstance(part, FairLine):
                yield from part
            else:
                yield part

    def push(self, item: T) -> None:
        """Adds an item, for whom the present task acts for."""
        self._length += 1
        if not self._parts or not isinstance(line := self._parts[-1], FairLine):
            line = FairLine()
            self._parts.append(line)
        line.push(acting_for(), item)

    def push_ahead(self, item: T) -> None:
        """Adds an item ahead of all others but those that were added in this way."""
        self._length += 1
        self._front.append(item)

    def push_behind(self, item: T) -> None:
        """Adds an item behind all that are pushed before it, and before all that are pushed later."""
        self._length += 1
        self._parts.append(item)

    def first(self) -> T:
        """The item whose turn it is. IndexError if there is none."""
        if self._front:
            return self._front[0]
        part = self._parts[0]
        return part.next()[1] if isinstance(part, FairLine) else part

    def pop(self) -> None:
        """Removes the first item."""
        self._length -= 1
        if self._front:
            self._front.popleft()
            return
        part = self._parts[0]
        if isinstance(part, FairLine):
            part.remove(*part.next(), served=True)
            if part:
                return
        self._parts.popleft()

    def clear(self) -> list[T]:
        """Removes all items, and gives them."""
        items = list(self)
        self._front.clear()
        self._parts.clear()
        self._length = 0
        return items
