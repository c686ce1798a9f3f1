"""Small images, each stored by one request, which may be made again.

What is remembered of a request is an upload that was READY from the start. It is added in one transaction
with the image, and is no more work for the disk. So the ids of requests are those of all uploads, an outcome
is forgotten when that of any other upload is, and of a request that failed nothing is kept.
"""

import asyncio
import hashlib
from dataclasses import dataclass

from conexiones import errors
from conexiones.domain.images import Images
from conexiones.domain.names import UserName, file_name
from conexiones.domain.uploads.checksums import check_crc32c, check_sha256
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import Charge, ImageRecord, StoredBy, UploadRecord
from conexiones.principals import Principal

MAX_REQUEST_ID = 128
"""The most characters of a request_id."""

SMALL_BYTES = 1 << 20
"""The largest image that one request may bring. Whoever sends it again sends all of it."""

_LONG = 128 << 10
"""Bytes from which on a thread hashes them."""

_FIELD = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallImage:
    """A request to store an image. `request_id` is empty if it may be stored twice; `sha256` is empty, and
    `crc32c` None, if they are not known; `user` and `name`, that of the file, may be empty."""

    data: bytes | memoryview
    request_id: str = ""
    user: str = ""
    name: str = ""
    sha256: bytes = b""
    crc32c: int | None = None


class SmallImages:
    """Stores images of at most `max_bytes`. An image that it returned is durable."""

    def __init__(self, catalog: Catalog, images: Images, *, max_bytes: int = SMALL_BYTES) -> None:
        self._catalog = catalog
        self._images = images
        self.max_bytes = max_bytes

    async def store(
        self, request: SmallImage, *, by: Principal, client: str = ""
    ) -> tuple[ImageRecord, bool]:
        """The image, and whether it was stored by this call: not if the same request was made before, also
        at the same time or before a restart. `client` is as in UploadRecord.

        Raises InvalidField, NameTooLong, ImageNotSmall, ChecksumMismatch, RequestIdReused, ImageDeleted, and
        what Images.add raises.
        """
        user, name = self._checked(request)
        owner, ticket = by.owner, by.ticket

        async def add(image: ImageRecord, charge: Charge | None) -> None:
            check_sha256(image.digest, request.sha256, field=_FIELD)
            if not request.request_id:
                await self._catalog.add_image(image, charge=charge)
                return
            # By its id an upload is the neighbour, in the catalog, of those that come before and after it.
            stored_by = StoredBy(image.id.replace("-", ""), request.request_id, client, ticket)
            before = await self._catalog.add_stored(image, stored_by, charge=charge)
            if before is not None:
                raise _StoredBefore(before)

        try:
            image, _ = await self._images.admit(
                request.data, by=by, user=user, name=name, add=add, way="small"
            )
            return image, True
        except _StoredBefore as error:
            found = error.upload
        except (errors.QuotaExceeded, errors.TicketUsedUp):
            # The same request may have been what used up the room.
            before = None
            if request.request_id:
                before = await self._catalog.find_upload(request.request_id, owner=owner, ticket=ticket)
            if before is None:
                raise
            found = before
        except (errors.ImageError, errors.FormatNotGranted):
            if request.sha256:  # damaged bytes may look like anything
                check_sha256(await _sha256(request.data), request.sha256, field=_FIELD)
            raise
        return await self._same(request, found, user=user, name=name), False

    def _checked(self, request: SmallImage) -> tuple[UserName | None, str | None]:
        """The names of the user and of the file. Raises what is wrong with the request by itself."""
        if len(request.request_id) > MAX_REQUEST_ID:
            raise errors.InvalidField(field="request_id", takes=f"0 to {MAX_REQUEST_ID} characters")
        if request.sha256 and len(request.sha256) != 32:
            raise errors.InvalidField(field="sha256", takes="32 bytes, or none")
        user = UserName.optional(request.user, field="user")
        name = file_name(request.name)
        size = len(request.data)
        try:
            self._images.check_size(size)
            if size > self.max_bytes:
                raise errors.ImageNotSmall(limit=self.max_bytes, actual=size, unit="bytes")
        except errors.ImageError as error:
            error.field = _FIELD
            raise
        if size:
            check_crc32c(request.data, request.crc32c, field=_FIELD)
        return user, name

    async def _same(
        self, request: SmallImage, upload: UploadRecord, *, user: UserName | None, name: str | None
    ) -> ImageRecord:
        """The image that the same request has stored. Raises RequestIdReused, ImageDeleted."""
        asked = (user.text if user else None, name, len(request.data))
        if upload.state != "READY" or (upload.user, upload.name, upload.committed_size) != asked:
            raise errors.RequestIdReused(field="request_id")
        image = await self._catalog.get_image(upload.image_id or "")
        if image is None:
            raise errors.ImageDeleted(field="request_id")
        if image.digest != await _sha256(request.data):
            raise errors.RequestIdReused(field="request_id")
        return image


class _StoredBefore(Exception):
    """The same request, or another one with its id, has an upload already."""

    def __init__(self, upload: UploadRecord) -> None:
        super().__init__()
        self.upload = upload


async def _sha256(data: bytes | memoryview) -> bytes:
    if len(data) < _LONG:
        return hashlib.sha256(data).digest()
    return (await asyncio.to_thread(hashlib.sha256, data)).digest()
