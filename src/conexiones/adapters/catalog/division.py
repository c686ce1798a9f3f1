"""How the room for open uploads is divided among clients, whatever the catalog: what each may hold, and which
uploads end so that others find room."""

from typing import NamedTuple

from conexiones.errors import ConexionesError, TooManyUploads, UploadBytesExceeded
from conexiones.ports.records import UploadQuota, UploadRecord


class Held(NamedTuple):
    """What open uploads hold of a quota."""

    uploads: int
    bytes: int


class Quiet(NamedTuple):
    """An open upload that others may take the place of."""

    id: str
    client: str
    bytes: int
    update_time: int


def held_with(mine: Held, upload: UploadRecord) -> Held:
    """What a client holds with that upload."""
    size = max(upload.declared_size or 0, upload.committed_size)
    return Held(mine.uploads + 1, mine.bytes + size)


def _allowed(limit: int, mine: int, others: int) -> int:
    """How much a client may hold: half of what others leave or, if it holds nothing yet, all of that."""
    left = max(0, limit - others)
    return (left + 1) // 2 if mine else left


def check_share(wanted: Held, mine: Held, others: Held, quota: UploadQuota) -> None:
    uploads = _allowed(quota.uploads, mine.uploads, others.uploads)
    if wanted.uploads > uploads:
        raise TooManyUploads(limit=uploads, actual=wanted.uploads)
    size = _allowed(quota.bytes, mine.bytes, others.bytes)
    if wanted.bytes > max(size, mine.bytes):  # one more without a byte takes no room
        raise UploadBytesExceeded(limit=size, actual=wanted.bytes)


def fits(wanted: Held, mine: Held, others: Held, quota: UploadQuota) -> bool:
    try:
        check_share(wanted, mine, others, quota)
    except ConexionesError:
        return False
    return True


def is_due(wanted: Held, quota: UploadQuota, *, clients: int) -> bool:
    """Whether others have to yield: to a client's only upload, and to as much as all could have at once, if
    each of them took its share and one more came."""
    return wanted.uploads == 1 or (
        wanted.uploads <= quota.uploads // (clients + 1) and wanted.bytes <= quota.bytes // (clients + 1)
    )


def yielding_uploads(
    wanted: Held, mine: Held, held: dict[str, Held], quiet: list[Quiet], quota: UploadQuota
) -> list[Quiet]:
    """The uploads to end, none if all of them together would not do.

    They are those of clients that hold more than the one that needs the room, and always of the client that
    holds most: the largest first if bytes are short, and otherwise those that were quiet for longest.
    """
    held, quiet = dict(held), sorted(quiet, key=lambda one: one.update_time)
    chosen: list[Quiet] = []
    others = Held(sum(one.uploads for one in held.values()), sum(one.bytes for one in held.values()))
    while not fits(wanted, mine, others, quota):
        short = 0 if wanted.uploads > _allowed(quota.uploads, mine.uploads, others.uploads) else 1
        able = [one for one in quiet if held[one.client][short] > mine[short]]
        if not able:
            return []
        most = max(held[one.client][short] for one in able)
        of_most = [one for one in able if held[one.client][short] == most]
        one = max(of_most, key=lambda one: one.bytes) if short else of_most[0]
        quiet.remove(one)
        chosen.append(one)
        of_client = held[one.client]
        held[one.client] = Held(of_client.uploads - 1, of_client.bytes - one.bytes)
        others = Held(others.uploads - 1, others.bytes - one.bytes)
    return chosen
