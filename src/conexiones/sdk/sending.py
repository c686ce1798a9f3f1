"""How one image is sent: with a single call if it is small, otherwise so that it can be resumed."""

import asyncio
from functools import partial

from conexiones import errors
from conexiones.sdk import requests, small
from conexiones.sdk import resume as resuming
from conexiones.sdk.argument_types import check_count
from conexiones.sdk.connection import Connection
from conexiones.sdk.results import Image
from conexiones.sdk.resume import Resume
from conexiones.sdk.sources import NewImage, Source, name_of, open_source
from conexiones.sdk.uploads import CHUNK_BYTES, Progress, Uploader


async def send(
    connection: Connection,
    item: NewImage,
    *,
    progress: Progress | None,
    resume: Resume,
    chunk_size: int | None,
    deadline: float | None = None,
    request_id: str | None = None,
) -> Image:
    """See AsyncClient.upload. `request_id` is that with which the same image was sent before."""
    try:
        async with asyncio.timeout(deadline) as limit:
            return await _send(
                connection,
                item,
                progress=progress,
                resume=resume,
                chunk_size=chunk_size,
                request_id=request_id or resuming.new_id(),
            )
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise errors.DeadlineExceeded from error


async def _send(
    connection: Connection,
    item: NewImage,
    *,
    progress: Progress | None,
    resume: Resume,
    chunk_size: int | None,
    request_id: str,
) -> Image:
    digest = requests.digest(item.sha256)
    chunk_size = None if chunk_size is None else check_count("chunk_size", chunk_size, "bytes")
    name = name_of(item.source) if item.name is None else item.name
    user = item.user or ""
    begun_before = resuming.begun(item.source, resume)
    opened = open_source(item.source, hashing=digest is None)
    try:
        size = opened.size
        most = min(connection.small_bytes, chunk_size or small.MOST_BYTES)
        if size and size <= most and not begun_before:  # what has no bytes is an empty stream
            one = await small.whole(
                opened, size=size, sha256=digest, request_id=request_id, user=user, name=name
            )
            try:
                image = await small.send(connection, one)
            except small.NotSmall:
                pass
            else:
                if progress:
                    progress(size, size)
                return image
        return await _resumable(
            connection,
            item,
            opened,
            name=name,
            request_id=request_id,
            digest=digest,
            progress=progress,
            resume=resume,
            chunk_size=chunk_size or CHUNK_BYTES,
        )
    finally:
        opened.close()


async def _resumable(
    connection: Connection,
    item: NewImage,
    opened: Source,
    *,
    name: str,
    request_id: str,
    digest: bytes | None,
    progress: Progress | None,
    resume: Resume,
    chunk_size: int,
) -> Image:
    user, address = item.user or "", connection.options.address
    # With the request_id of an attempt to send it with a single call, which may have stored it.
    state, begun = resuming.begin(
        item.source, resume, address=address, user=user, name=name, request_id=request_id
    )
    uploader = Uploader(
        connection,
        opened,
        user=user,
        name=(begun.name or "") if begun else name,
        request_id=begun.request_id if begun else request_id,
        renew=partial(state.renew, begun) if state and begun else resuming.new_id,
        sha256=digest,
        chunk_size=chunk_size,
        progress=progress,
    )
    try:
        image = await uploader.run()
    except (errors.ImageError, errors.ChecksumMismatch):
        # The image is refused, so there is nothing to resume.
        if state:
            state.remove()
        raise
    finally:
        if state and state.new and not connection.reached:
            state.remove()  # no server knows of this upload
    if state:
        state.remove()
    return image
