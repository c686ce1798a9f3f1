"""The images that were asked for of late, so that asking again costs neither a thread nor a query."""

from collections import OrderedDict

from conexiones.ports.records import Facts, ImageRecord

IMAGES = 4096
"""Images that are kept at most. Each takes about 1 KiB."""


class RecentImages:
    """Images by id, and facts by the digest of the bytes; the least recently used are dropped first. Belongs
    to one event loop. It has to be told of every change.

    `mark` is another number after each change. Take it before a read, and keep what was read with it: if
    anything has changed meanwhile, nothing is kept, since the read may be older than the change.
    """

    def __init__(self, most: int = IMAGES) -> None:
        self._most = most
        self._images: OrderedDict[str, ImageRecord] = OrderedDict()
        self._facts: OrderedDict[bytes, Facts] = OrderedDict()
        self._ids: dict[bytes, set[str]] = {}  # of the images that are kept, by digest
        self.mark = 0

    def image(self, image_id: str) -> ImageRecord | None:
        found = self._images.get(image_id)
        if found is not None:
            self._images.move_to_end(image_id)
        return found

    def facts(self, digest: bytes) -> Facts | None:
        found = self._facts.get(digest)
        if found is not None:
            self._facts.move_to_end(digest)
        return found

    def keep_image(self, image: ImageRecord, mark: int) -> None:
        if mark != self.mark or not self._most:
            return
        self._images[image.id] = image
        self._ids.setdefault(image.digest, set()).add(image.id)
        if len(self._images) > self._most:
            self._forget(next(iter(self._images)))

    def keep_facts(self, digest: bytes, facts: Facts, mark: int) -> None:
        if mark != self.mark or not self._most:
            return
        self._facts[digest] = facts
        if len(self._facts) > self._most:
            self._facts.popitem(last=False)

    def deleted(self, image: ImageRecord) -> None:
        """The image is gone, and with it perhaps the facts of its bytes."""
        self.mark += 1
        self._facts.pop(image.digest, None)
        if image.id in self._images:
            self._forget(image.id)

    def described(self, digest: bytes) -> None:
        """What is said of the images with these bytes may be something else now."""
        self.mark += 1
        self._facts.pop(digest, None)
        for image_id in list(self._ids.get(digest, ())):
            self._forget(image_id)

    def clear(self) -> None:
        """Anything may have changed."""
        self.mark += 1
        self._images.clear()
        self._facts.clear()
        self._ids.clear()

    def _forget(self, image_id: str) -> None:
        image = self._images.pop(image_id)
        ids = self._ids[image.digest]
        ids.discard(image_id)
        if not ids:
            del self._ids[image.digest]
