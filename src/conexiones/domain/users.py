"""The rules of users."""

from dataclasses import dataclass

from conexiones.domain.ids import now
from conexiones.domain.images import Images
from conexiones.domain.names import UserName
from conexiones.errors import PowOverflow
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord, UserRecord
from conexiones.principals import Principal
from conexiones.tracing import span

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

    async def register(self, name: str, *, pow: int, image: bytes | memoryview, by: Principal) -> Registered:
        """Registers or updates a user of the caller's owner; others may have users of the same name. A pow
        other than 0 and a non-empty image replace what is stored.

        Raises EmptyName, NameTooLong, an ImageError, or QuotaExceeded; then nothing has changed.
        """
        user_name = UserName(name)
        if image:
            record, user = await self._images.admit(
                image,
                by=by,
                user=user_name,
                way="user",
                add=lambda record, charge: self._catalog.put_user(
                    user_name.text, owner=by.owner, pow=pow or None, image=record, now=now(), charge=charge
                ),
            )
            return Registered(user, record)
        with span("commit"):
            user = await self._catalog.put_user(
                user_name.text, owner=by.owner, pow=pow or None, image=None, now=now()
            )
        stored = await self._catalog.get_image(user.image_id) if user.image_id else None
        return Registered(user, stored)


def square(pow: int) -> int:
    """The exact square of an int32: it fits in 64 bits."""
    return pow * pow


def square32(pow: int) -> int:
    """The square as an int32. Raises PowOverflow where it does not fit."""
    result = square(pow)
    if result not in _INT32:
        raise PowOverflow(field="pow", pow=pow, actual=result, limit=_INT32[-1])
    return result
