"""How much a caller may store: the limits of the owner, and the terms of a ticket.

The catalog decides, in the transaction that adds an image. What would be refused there is refused here before
its bytes are taken in, as far as it is known by then.
"""

from dataclasses import dataclass

from conexiones.domain.formats import ImageHeader
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import Charge, Usage
from conexiones.principals import Allowance, Principal

NOTHING = Usage()
UNLIMITED = Allowance()


@dataclass(frozen=True, slots=True)
class Room:
    """What one more image may be, as things stood when it began. `charge` goes with it into the catalog; it
    is None where nothing is limited."""

    by: Principal
    charge: Charge | None
    usage: Usage

    def check_size(self, size: int) -> None:
        """Whether there is room for an image of so many bytes, or of more. Raises QuotaExceeded,
        TicketUsedUp."""
        if self.charge is not None:
            self.charge.check(self.usage, size)

    def check_header(self, header: ImageHeader | None) -> None:
        """Raises FormatNotGranted. Without a header nothing is known yet."""
        if header is not None:
            self.by.check_format(header.format)


async def room_of(
    catalog: Catalog, by: Principal, *, size: int = 0, owner: str | None = None, ticket: str | None = None
) -> Room:
    """The room for an image that the caller stores, which belongs to the caller's owner and is stored with
    its ticket, unless others are named: those of an upload, which whoever sees everything may finish for
    its owner. Raises QuotaExceeded and TicketUsedUp if there is none for `size` bytes."""
    owner = by.owner if owner is None else owner
    ticket = by.ticket if ticket is None else ticket
    charge = charge_of(by, owner=owner, ticket=ticket)
    if charge is None or not charge.limits_images:
        return Room(by, None, NOTHING)
    room = Room(by, charge, await catalog.usage(owner, ticket=ticket))
    room.check_size(size)
    return room


def charge_of(by: Principal, *, owner: str, ticket: str) -> Charge | None:
    """The limits on what belongs to that owner and is stored with that ticket; None if there are none."""
    # The limits of another owner are not known here, and what belongs to nobody is not counted.
    allowance = by.allowance if owner and owner == by.owner else UNLIMITED
    if not ticket and (allowance is UNLIMITED or allowance == UNLIMITED):
        return None
    charge = Charge(allowance=allowance, ticket=ticket, terms=by.terms)
    return charge if charge.limits_images or allowance.open_uploads is not None else None
