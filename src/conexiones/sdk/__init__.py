"""The Python client of Conexiones gRPC: `AsyncClient`, and `Client` for code without asyncio."""

from conexiones.sdk.access import Access, NewToken, Quota, Scope, Ticket, Token, Usage
from conexiones.sdk.blocking import Client
from conexiones.sdk.client import AsyncClient
from conexiones.sdk.failures import (
    ConnectionLost,
    NoProgress,
    PermissionDenied,
    ServerTooOld,
    SourceChanged,
    Unauthenticated,
    UnknownError,
    Unreachable,
)
from conexiones.sdk.forks import ForkedInCall
from conexiones.sdk.renditions import Rendition, RenditionInfo, RenditionLimits
from conexiones.sdk.results import (
    Deleted,
    Described,
    Event,
    Facts,
    Greeting,
    Image,
    ImageReply,
    Limits,
    NewUser,
    Resync,
    Stored,
    Upload,
    Uploaded,
    UploadState,
    User,
    UserReply,
)
from conexiones.sdk.sources import NewImage

__all__ = [
    "Access",
    "AsyncClient",
    "Client",
    "ConnectionLost",
    "Deleted",
    "Described",
    "Event",
    "Facts",
    "ForkedInCall",
    "Greeting",
    "Image",
    "ImageReply",
    "Limits",
    "NewImage",
    "NewToken",
    "NewUser",
    "NoProgress",
    "PermissionDenied",
    "Quota",
    "Rendition",
    "RenditionInfo",
    "RenditionLimits",
    "Resync",
    "Scope",
    "ServerTooOld",
    "SourceChanged",
    "Stored",
    "Ticket",
    "Token",
    "Unauthenticated",
    "UnknownError",
    "Unreachable",
    "Upload",
    "UploadState",
    "Uploaded",
    "Usage",
    "User",
    "UserReply",
]
