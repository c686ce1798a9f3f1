"""Whether the objects at a place are those that a database names."""

from conexiones.adapters.blobs.s3.objects import MARK, Objects, mark_of
from conexiones.adapters.blobs.s3.place import BlobPlace


async def is_marked(objects: Objects, place: BlobPlace, identity: int, *, named: bool) -> bool:
    """Whether MARK says that they are of the database with that number; False if nothing is said yet.
    `named` is whether the database names any object. ValueError, whose one line says what to do, if they are
    others. Raises StorageUnavailable, ObjectGone and BlobCorrupt of the object store."""
    own, mark = mark_of(identity), await objects.mark()
    if mark == own:
        return True
    empty = await objects.is_empty()
    if mark and not empty:
        raise ValueError(
            f"{place} has the objects of another database, which would be removed: correct"
            f" --database or --blobs. If they are this one's, delete the object {MARK} there."
        )
    if named and empty:
        raise ValueError(
            f"{place} has no objects, and the database names some: correct --database or --blobs."
            f" If all objects are lost, put the object {MARK} with the text {own} there."
        )
    return False
