"""The rules of users."""

from dataclasses import dataclass

from conexiones.domain.ids import now
from conexiones.domain.images import Images
from conexiones.errors import EmptyName, NameTooLong, PowOverflow
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord, UserRecord

MAX_NAME = 256
"""Characters of a name; the least is one."""

_INT32 = range(-(2**31), 2**31)


@dataclass(frozen=True, slots=True)
class Registered:
    """A user as stored, with the image stored for them."""

    user: UserRecord
    image: ImageRecord | None


class Users:
    """Registers users. What a method returned is durable."""

    def __init__(self, catalog: Catalog, images: Images) -> None:
        self._catalog = catalog
        self._images = images

    async def register(self, name: str, *, pow: int, image: bytes) -> Registered:
        """Registers or updates a user: a pow that is not 0, and an image that is not empty, replace what is
        stored. Raises EmptyName, NameTooLong, or an ImageError, and then nothing has changed."""
        check_name(name)
        if image:
            record, user = await self._images.admit(
                image,
                user=name,
                add=lambda record: self._catalog.put_user(name, pow=pow or None, image=record, now=now()),
            )
            return Registered(user, record)
        user = await self._catalog.put_user(name, pow=pow or None, image=None, now=now())
        stored = await self._catalog.get_image(user.image_id) if user.image_id else None
        return Registered(user, stored)


def check_name(name: str, *, field: str = "name") -> None:
    """Raises EmptyName or NameTooLong."""
    if not name:
        raise EmptyName(field=field, limit=MAX_NAME)
    if len(name) > MAX_NAME:
        raise NameTooLong(field=field, limit=MAX_NAME, actual=len(name))


def square(pow: int) -> int:
    """The exact square of an int32: it fits in 64 bits."""
    return pow * pow


def square32(pow: int) -> int:
    """The square as an int32. Raises PowOverflow where it does not fit."""
    result = square(pow)
    if result not in _INT32:
        raise PowOverflow(field="pow", pow=pow, actual=result, limit=_INT32[-1])
    return result
