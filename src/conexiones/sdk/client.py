"""The client: every call of the server as a coroutine or an asynchronous iterator."""

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import fields
from datetime import datetime
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar, overload

from google.protobuf.timestamp_pb2 import Timestamp

from conexiones import errors
from conexiones.gen.conexiones.v1.images_pb2 import DeleteImageRequest, GetImageRequest, ListImagesRequest
from conexiones.gen.conexiones.v1.status_pb2 import GetStatusRequest
from conexiones.gen.conexiones.v1.uploads_pb2 import CancelUploadRequest, GetLimitsRequest, GetUploadRequest
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.sdk import downloads, events, health, many, results, sending, small, traces, usuario
from conexiones.sdk.access_calls import AccessCalls
from conexiones.sdk.argument_types import check_target, check_time
from conexiones.sdk.connection import Connection, Options
from conexiones.sdk.credentials import Secret
from conexiones.sdk.environ import ADDRESS, options_from, token_from
from conexiones.sdk.places import refuse_url
from conexiones.sdk.reading import Sources
from conexiones.sdk.renditions import Rendition, RenditionInfo
from conexiones.sdk.requests import digest, identified, made
from conexiones.sdk.results import (
    Event,
    Greeting,
    Image,
    ImageReply,
    Limits,
    NewUser,
    ServerStatus,
    Upload,
    Uploaded,
    UserReply,
)
from conexiones.sdk.sources import AnySource, NewImage
from conexiones.sdk.uploads import Progress

PathOrText = str | PathLike[str]
PAGE_SIZE = 200

T = TypeVar("T")


class AsyncClient(AccessCalls):
    """A client of one server. Safe to use from many tasks of one event loop. It connects on first use.

    address: HOST:PORT, or those of several servers that share their data, as "HOST:PORT,HOST:PORT": the
        client begins with any of them, and goes on at the next one when that is lost or is about to end.
    tls: encrypt, trusting the system's CAs; implied by `ca` and `cert`.
    ca: PEM file of the CA to trust instead of the system's.
    cert, key: PEM files of the client's own certificate and private key, for mTLS.
    token: a token, a ticket or a JWT, which is sent with every call.
    token_file: a file that has the token. It is read with the first call, and again when the server says that
        the token has expired, was revoked or is not known: then the call is made once more if there is
        another token in it.
    insecure_token: send the token without TLS to other machines, too.
    timeout: seconds that a unary call may take, and that an upload or a download may bring nothing.
    retries: how often a unary call that may safely be repeated is retried after a lost connection.
    patience: seconds without progress after which uploads, downloads and watching give up.

    Every call raises errors of `conexiones.errors`, or of `conexiones.sdk.failures`, which belong to the same
    tree. ConnectionLost means that the server cannot be reached. An address that is none, a `cert` without
    its `key`, a number out of range, and a token that would go to another machine without encryption are a
    ValueError at once; a token with a typing error is TokenMistyped at once.

    Where the event loop has ended, another one may use the client. Pickled, it is the options without the
    `token`: what is unpickled connects by itself, and takes the token of its own environment.
    """

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        tls: bool = False,
        ca: PathOrText | None = None,
        cert: PathOrText | None = None,
        key: PathOrText | None = None,
        token: str | None = None,
        token_file: PathOrText | None = None,
        insecure_token: bool = False,
        timeout: float = 30.0,
        retries: int = 4,
        patience: float = 120.0,
    ) -> None:
        self._connection = Connection(
            Options(
                address=address,
                tls=tls,
                ca=ca,
                cert=cert,
                key=key,
                timeout=timeout,
                retries=retries,
                patience=patience,
                token=None if token is None else Secret(token),
                token_file=token_file,
                insecure_token=insecure_token,
            )
        )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Self:
        """A client with the options in the environment variables: CONEXIONES_ADDRESS, CONEXIONES_TLS ("1" or
        "true"), CONEXIONES_CA, CONEXIONES_CERT, CONEXIONES_KEY, CONEXIONES_TIMEOUT, CONEXIONES_TOKEN,
        CONEXIONES_TOKEN_FILE and CONEXIONES_INSECURE_TOKEN. Without a token among them, the one that
        `conexiones login` keeps for that server.

        Raises ValueError for a timeout that is not a number of seconds.
        """
        return cls(**options_from(os.environ if environ is None else environ))

    def __reduce__(self) -> tuple[Any, ...]:
        options = self._connection.options
        kept = {field.name: getattr(options, field.name) for field in fields(options)}
        # What is pickled is often written to a disk, and a token does not belong there.
        left_out = kept.pop("token") is not None
        return partial(_unpickled, type(self), left_out=left_out, **kept), ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all calls and closes the connection. Calling it again is a no-op."""
        await self._connection.close()

    # Uploads

    @traces.operation
    async def upload(
        self,
        source: AnySource,
        *,
        user: str | None = None,
        name: str | None = None,
        progress: Progress | None = None,
        resume: PathOrText | bool | None = None,
        chunk_size: int | None = None,
        sha256: bytes | str | None = None,
        deadline: float | None = None,
    ) -> Image:
        """Sends an image of any size, resumes by itself after a lost connection, and returns the image as
        stored.

        source: a path, bytes, a binary file (read from its current position), or an iterable of bytes, which
            may be asynchronous. Bytes of a source that can be read only once are kept until they are durable,
            at most 16 MiB of them.
        user: the name of the user to whom the image will belong.
        name: the name of the file, at most 255 bytes of UTF-8 without control characters. By default, that of
            the file at a path, and none for other sources; "" for none.
        progress: called in the event loop with the number of durable bytes and the total, None if unknown.
        resume: only if the source is a path: a folder for the state file, or True for
            "<name>.conexiones-upload" beside the source. Another process that uploads the same file resumes
            this upload. Nothing is kept, and the upload is sent all the same, if the path is not a regular
            file but a pipe, a device or a descriptor such as /dev/stdin, or if, with True, its folder cannot
            be written to.
        chunk_size: bytes of one message; 1 MiB by default.
        sha256: the digest of the source if it is known, as 32 bytes or in hexadecimal. The server checks it,
            and this client hashes nothing. Otherwise the digest is computed while reading.
        deadline: seconds for the whole upload.

        Raises an errors.ImageError if the image is refused, WriterFenced if another writer took over the
        upload, NoProgress and DeadlineExceeded (it can still be resumed), SourceChanged, UploadEnded if it
        was cancelled, and whatever reading the source raises. An upload that expired, because nothing could
        be sent for too long, is begun anew if the source can be read again; otherwise it is UploadEnded too.
        """
        item = NewImage(source=source, user=user, name=name, sha256=sha256)
        return await sending.send(
            self._connection,
            item,
            progress=progress,
            resume=resume,
            chunk_size=chunk_size,
            deadline=deadline,
        )

    async def upload_many(
        self,
        sources: Sources,
        *,
        user: str | None = None,
        concurrency: int = 4,
        resume: PathOrText | bool | None = None,
        progress: many.Progress | None = None,
    ) -> AsyncGenerator[Uploaded, None]:
        """Sends many images, and yields the outcome of each as it comes, which is not their order.

        Small images share a few streams: this is many times faster than an `upload` for each. Large ones are
        sent beside them, as `upload` does. All resume by themselves after a lost connection, and nothing is
        stored twice.

        sources: paths, bytes, and whatever else `upload` takes; or a NewImage, which has a user, a name or a
            digest of its own. The iterable may be asynchronous. Any other is iterated in a thread, and is
            not taken from faster than images are sent and outcomes are taken.
        user: the name of the user to whom the images will belong, unless they have one of their own.
        concurrency: how many large images are sent at a time.
        resume: see `upload`; for large images at paths.
        progress: called in the event loop for large images: with the index of the image, the number of its
            durable bytes and the total, None if unknown. When an image begins, these are 0 and None.

        An image that is refused, or a source that cannot be read, is the `error` of its outcome, and the
        others go on. What concerns all of them is raised, after the outcomes that there are: Unauthenticated
        and ScopeMissing, NoProgress and Unreachable, and what `sources` raises.

        To stop early, leave the loop and close the iterator (`contextlib.aclosing`): what had no outcome yet
        may be stored or not.
        """
        batches = self._upload_batches(
            sources, user=user, concurrency=concurrency, resume=resume, progress=progress
        )
        async with aclosing(batches):
            async for batch in batches:
                for one in batch:
                    yield one

    @traces.iterating("upload_many")
    def _upload_batches(
        self,
        sources: Sources,
        *,
        user: str | None = None,
        concurrency: int = 4,
        resume: PathOrText | bool | None = None,
        progress: many.Progress | None = None,
    ) -> AsyncGenerator[list[Uploaded], None]:
        """`upload_many`, with all outcomes that there are at a time."""
        return many.Many(
            self._connection, user=user, concurrency=concurrency, resume=resume, progress=progress
        ).batches(sources)

    @traces.operation
    async def get_upload(self, id: str) -> Upload:
        """An upload in its present state. Raises UploadNotFound."""
        reply = await self._connection.unary(
            lambda link: link.uploads.GetUpload, identified(GetUploadRequest, id)
        )
        return results.upload(reply.upload)

    @traces.operation
    async def cancel_upload(self, id: str) -> Upload:
        """Cancels an upload. Raises UploadNotFound, UploadEnded."""
        reply = await self._connection.unary(
            lambda link: link.uploads.CancelUpload, identified(CancelUploadRequest, id)
        )
        return results.upload(reply.upload)

    @traces.operation
    async def limits(self) -> Limits:
        """What the server accepts."""
        told = await self._connection.unary(lambda link: link.uploads.GetLimits, GetLimitsRequest())
        small.learn(self._connection, told.max_small_bytes)
        return results.limits(told)

    @traces.operation
    async def status(self) -> ServerStatus:
        """Which version the server is, what it holds, and whether that is whole."""
        told = await self._connection.unary(lambda link: link.status.GetStatus, GetStatusRequest())
        return results.status(told)

    @traces.operation
    async def health(self, service: str = "") -> str:
        """What the server says of itself (grpc.health.v1), in one attempt: "SERVING", or "NOT_SERVING" while
        it drains or cannot store anything. `service` is the full name of one of its services. Raises
        UnknownService."""
        return await health.check(self._connection, service)

    # Images

    @overload
    async def download(
        self,
        id: str,
        target: None = None,
        *,
        rendition: Rendition | None = None,
        offset: int = 0,
        limit: int = 0,
        progress: Progress | None = None,
        resume: bool = True,
    ) -> bytes: ...
    @overload
    async def download(
        self,
        id: str,
        target: PathOrText | BinaryIO,
        *,
        rendition: None = None,
        offset: int = 0,
        limit: int = 0,
        progress: Progress | None = None,
        resume: bool = True,
    ) -> Image: ...
    @overload
    async def download(
        self,
        id: str,
        target: PathOrText | BinaryIO,
        *,
        rendition: Rendition,
        offset: int = 0,
        limit: int = 0,
        progress: Progress | None = None,
        resume: bool = True,
    ) -> RenditionInfo: ...
    @traces.operation
    async def download(
        self,
        id: str,
        target: PathOrText | BinaryIO | None = None,
        *,
        rendition: Rendition | None = None,
        offset: int = 0,
        limit: int = 0,
        progress: Progress | None = None,
        resume: bool = True,
    ) -> Image | RenditionInfo | bytes:
        """Downloads an image, or a range of it, and continues by itself after a lost connection.

        target: a path, a binary file to write to, or None for the bytes themselves. With a path, the bytes
            are written to "<name>.part", which is renamed when it is complete and on disk. With `resume`, the
            part that an earlier process left is continued. A link is followed to the file that it names.
            Devices, pipes, sockets and descriptors such as /dev/stdout are written to; a folder is refused.
        rendition: download this rendition of the image; all other options then apply to its bytes, and a
            RenditionInfo is returned instead of the Image. The server makes it before it sends the first
            byte, which must arrive within `timeout`.
        offset: the first byte wanted; a negative one counts from the end.
        limit: the largest number of bytes wanted; 0 for all.
        progress: called in the event loop with the number of bytes received and the total. The number falls
            where the download has to start again: a part was of another image, or a rendition was made anew.

        A URL as the target is a ValueError.

        Every frame is checked by its CRC-32C, and a whole image or rendition by its SHA-256. Raises
        ImageNotFound, BlobCorrupt, ChecksumMismatch, NoProgress, and whatever writing raises. With a
        rendition it also raises InvalidField and NoRendition, and EtagMismatch if the rendition has different
        bytes after a lost connection and the target is a file, which cannot start again.
        """
        wanted = downloads.Wanted(id=id, offset=offset, limit=limit, rendition=rendition)
        check_target(target)
        if target is None:
            return await downloads.into_bytes(self._connection, wanted, progress)
        if isinstance(target, str | PathLike):
            refuse_url(target)
            path = Path(target)
            return await downloads.into_path(self._connection, wanted, path, resume=resume, progress=progress)
        return await downloads.into_file(self._connection, wanted, target, progress=progress)

    @traces.operation
    async def image(self, id: str) -> Image:
        """One image. Raises ImageNotFound."""
        request = identified(GetImageRequest, id)
        reply = await self._connection.unary(lambda link: link.images.GetImage, request)
        return results.image(reply.image)

    @traces.iterating("images")
    async def images(
        self,
        *,
        user: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        name: str | None = None,
        sha256: Iterable[bytes | str] | None = None,
        owner: str | None = None,
        page_size: int = PAGE_SIZE,
    ) -> AsyncIterator[Image]:
        """Images, newest first, fetched page by page: optionally only those of one user, created at `start`
        or later, and before `end`, whose name contains `name` in whatever case, or whose bytes have one of
        the digests `sha256`, at most 1,000 of 32 bytes each or in hexadecimal, or which belong to `owner`,
        such as "token:backend".

        Times without a time zone are local times.
        """
        check_time("start", start)
        check_time("end", end)
        request = made(
            ListImagesRequest, user=user or "", page_size=page_size, name=name or "", owner=owner or ""
        )
        if sha256 is not None:
            request.sha256.extend(digest(one) or b"" for one in sha256)
            if not request.sha256:
                return
        if start is not None:
            request.start_time.CopyFrom(_stamp("start", start))
        if end is not None:
            request.end_time.CopyFrom(_stamp("end", end))
        while True:
            page = await self._connection.unary(lambda link: link.images.ListImages, request)
            for found in page.images:
                yield results.image(found)
            if not page.next_page_token or not page.images:
                return
            request.page_token = page.next_page_token

    @traces.operation
    async def delete(self, id: str) -> None:
        """Deletes an image. Raises ImageNotFound."""
        await self._connection.unary(
            lambda link: link.images.DeleteImage,
            identified(DeleteImageRequest, id),
            done=errors.ImageNotFound,
        )

    @traces.iterating("watch")
    async def watch(
        self,
        resume_token: str | None = None,
        *,
        user: str | None = None,
        owner: str | None = None,
        ready: Callable[[str], object] | None = None,
    ) -> AsyncIterator[Event]:
        """Events of images from now on, or after `resume_token`, which is the `token` of the last event seen.

        Reconnects by itself and continues after the last event. A `Resync` means that events are missing.
        Optionally only events of images of one user or owner.
        `ready` is called with a token for every heartbeat of the server: at the beginning, which means that
        no later event will be missed, and whenever there are no events for a while.
        """
        happening = events.watch(
            self._connection, token=resume_token or "", user=user or "", owner=owner or "", ready=ready
        )
        async with aclosing(happening):
            async for event in happening:
                yield event

    # The tutorial's calls

    @traces.operation
    async def get_user(self, name: str, pow: int = 0, image: bytes | None = None) -> Greeting:
        """Registers or updates a user. `image` is the bytes of a whole image file; without it, the stored
        image stays.

        Raises EmptyName, NameTooLong, and an ImageError if the image is refused.
        """
        reply = await self._connection.unary(
            lambda link: link.usuario.GetUser,
            usuario.user_request(name, pow, image),
            # Repeating the call could store the image twice.
            again=not image,
        )
        return results.greeting(reply)

    @traces.operation
    async def process_image(self, image: bytes, name: str = "") -> Greeting:
        """Stores and describes one whole image. `name` is that of the user to whom it will belong; this call
        has none for the file.

        Not retried after a lost connection, because that could store the image twice.
        """
        request = made(GetUserRequest, name=name, image=image)
        reply = await self._connection.unary(lambda link: link.usuario.ProcessImage, request, again=False)
        return results.greeting(reply)

    @traces.operation
    async def stream_image(self, source: AnySource, *, chunk_size: int = usuario.FRAGMENT_BYTES) -> Greeting:
        """Sends one image as fragments (GetStreamImage). It cannot be resumed; `upload` can."""
        return await usuario.stream_image(self._connection, source, chunk_size)

    @traces.iterating("image_stream")
    async def image_stream(self, images: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[ImageReply]:
        """Sends whole images (ImageStreamReply), and yields the reply to each, in order, as it arrives."""
        async with aclosing(usuario.image_stream(self._connection, images)) as replies:
            async for reply in replies:
                yield reply

    @traces.iterating("user_stream")
    async def user_stream(
        self, users: Iterable[NewUser] | AsyncIterable[NewUser]
    ) -> AsyncIterator[UserReply]:
        """Sends users (GetUserBidiStream), and yields the reply to each, in order, as it arrives."""
        async with aclosing(usuario.user_stream(self._connection, users)) as replies:
            async for reply in replies:
                yield reply


def _unpickled(kind: type[T], *, left_out: bool, **options: Any) -> T:
    """The client with these options, and with the token of this process if its own was left out."""
    return kind(**options, **(token_from(os.environ, options["address"]) if left_out else {}))


def _stamp(name: str, time: datetime) -> Timestamp:
    stamp = Timestamp()
    try:
        stamp.FromDatetime(time.astimezone())
    except (ValueError, OverflowError):  # in another time zone, it is of another year
        raise errors.InvalidField(field=name, takes="a time of the years 1 to 9999") from None
    return stamp
