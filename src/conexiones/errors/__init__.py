"""Every error of Conexiones, as a closed tree that knows no transport.

ConexionesError
├── InvalidArgument               INVALID_ARGUMENT
│   ├── EmptyName                 EMPTY_NAME
│   ├── NameTooLong               NAME_TOO_LONG
│   ├── InvalidUtf8               INVALID_UTF8
│   ├── MalformedMessage          MALFORMED_MESSAGE
│   ├── MalformedRequest          MALFORMED_REQUEST
│   ├── InvalidField              INVALID_FIELD
│   ├── SizeExceeded              SIZE_EXCEEDED
│   └── ImageError
│       ├── EmptyImage            EMPTY_IMAGE
│       ├── EmptyStream           EMPTY_STREAM
│       ├── NotAnImage            NOT_AN_IMAGE
│       ├── UnsupportedFormat     UNSUPPORTED_FORMAT
│       ├── CorruptImage          CORRUPT_IMAGE
│       ├── TruncatedImage        TRUNCATED_IMAGE
│       ├── ImageTooLarge         IMAGE_TOO_LARGE
│       ├── ImageNotSmall         IMAGE_NOT_SMALL
│       └── TooManyPixels         TOO_MANY_PIXELS
├── NotFound                      NOT_FOUND
│   ├── UnknownService            UNKNOWN_SERVICE
│   ├── ImageNotFound             IMAGE_NOT_FOUND
│   ├── ImageDeleted              IMAGE_DELETED
│   ├── UploadNotFound            UPLOAD_NOT_FOUND
│   └── TokenNotFound             TOKEN_NOT_FOUND
├── AlreadyExists                 ALREADY_EXISTS
│   └── RequestIdReused           REQUEST_ID_REUSED
├── Aborted                       ABORTED
│   ├── OffsetMismatch            OFFSET_MISMATCH
│   ├── WriterFenced              WRITER_FENCED
│   └── EtagMismatch              ETAG_MISMATCH
├── OutOfRange                    OUT_OF_RANGE
│   ├── PowOverflow               POW_OVERFLOW
│   └── OffsetOutOfRange          OFFSET_OUT_OF_RANGE
├── FailedPrecondition            FAILED_PRECONDITION
│   ├── NoPreview                 NO_PREVIEW
│   ├── NoRendition               NO_RENDITION
│   ├── UploadEnded               UPLOAD_ENDED
│   └── UploadIncomplete          UPLOAD_INCOMPLETE
├── ResourceExhausted             RESOURCE_EXHAUSTED
│   ├── MessageTooLarge           MESSAGE_TOO_LARGE
│   ├── TooManyUploads            TOO_MANY_UPLOADS
│   ├── UploadBytesExceeded       UPLOAD_BYTES_EXCEEDED
│   ├── StorageFull               STORAGE_FULL
│   ├── QuotaExceeded             QUOTA_EXCEEDED
│   ├── TicketUsedUp              TICKET_USED_UP
│   └── RateExceeded              RATE_EXCEEDED
├── Unavailable                   UNAVAILABLE
│   ├── ServerDraining            SERVER_DRAINING
│   ├── ServerBusy                SERVER_BUSY
│   ├── StreamIdle                STREAM_IDLE
│   └── StorageUnavailable        STORAGE_UNAVAILABLE
├── Cancelled                     CANCELLED
├── DeadlineExceeded              DEADLINE_EXCEEDED
│   └── ClientStalled             CLIENT_STALLED
├── Unimplemented                 UNIMPLEMENTED
│   ├── UnknownMethod             UNKNOWN_METHOD
│   ├── NotOneMessage             NOT_ONE_MESSAGE
│   └── UnknownCompression        UNKNOWN_COMPRESSION
├── PermissionDenied              PERMISSION_DENIED
│   ├── UnknownHost               UNKNOWN_HOST
│   ├── UnknownOrigin             UNKNOWN_ORIGIN
│   ├── ScopeMissing              SCOPE_MISSING
│   └── FormatNotGranted          FORMAT_NOT_GRANTED
├── Unknown                       UNKNOWN
│   └── UnknownProtocol           UNKNOWN_PROTOCOL
├── DataLoss                      DATA_LOSS
│   ├── ChecksumMismatch          CHECKSUM_MISMATCH
│   └── BlobCorrupt               BLOB_CORRUPT
├── Internal                      INTERNAL
│   └── UndeclaredCompression     UNDECLARED_COMPRESSION
└── Unauthenticated               UNAUTHENTICATED
    ├── NoCredentials             NO_CREDENTIALS
    ├── TokenMistyped             TOKEN_MISTYPED
    ├── TokenUnknown              TOKEN_UNKNOWN
    ├── TokenExpired              TOKEN_EXPIRED
    ├── TokenRevoked              TOKEN_REVOKED
    ├── LinkInvalid               LINK_INVALID
    └── LinkExpired               LINK_EXPIRED

The words in capitals beside a leaf are its `reason`, which never changes; those beside a branch are the gRPC
code of all errors below it. An error holds only what may be shown to a client: a sentence in English, one in
Spanish, and the facts that fill them. Causes are chained (`raise … from cause`), and only the log has them.
"""

from conexiones.codes import FAULTS, Code
from conexiones.errors.access import (
    FormatNotGranted,
    LinkExpired,
    LinkInvalid,
    NoCredentials,
    QuotaExceeded,
    RateExceeded,
    ScopeMissing,
    TicketUsedUp,
    TokenExpired,
    TokenMistyped,
    TokenNotFound,
    TokenRevoked,
    TokenUnknown,
    Unauthenticated,
)
from conexiones.errors.base import (
    ConexionesError,
)
from conexiones.errors.requests import (
    Aborted,
    AlreadyExists,
    CorruptImage,
    EmptyImage,
    EmptyName,
    EmptyStream,
    EtagMismatch,
    FailedPrecondition,
    ImageDeleted,
    ImageError,
    ImageNotFound,
    ImageNotSmall,
    ImageTooLarge,
    InvalidArgument,
    InvalidField,
    InvalidUtf8,
    MalformedMessage,
    MalformedRequest,
    NameTooLong,
    NoPreview,
    NoRendition,
    NotAnImage,
    NotFound,
    OffsetMismatch,
    OffsetOutOfRange,
    OutOfRange,
    PowOverflow,
    PreviewProblem,
    RequestIdReused,
    SizeExceeded,
    TooManyPixels,
    TruncatedImage,
    UnknownService,
    UnsupportedFormat,
    UploadEnded,
    UploadIncomplete,
    UploadNotFound,
    WriterFenced,
)
from conexiones.errors.serving import (
    BlobCorrupt,
    Cancelled,
    ChecksumMismatch,
    ClientStalled,
    DataLoss,
    DeadlineExceeded,
    Internal,
    MessageTooLarge,
    NotOneMessage,
    PermissionDenied,
    ResourceExhausted,
    ServerBusy,
    ServerDraining,
    StorageFull,
    StorageUnavailable,
    StreamIdle,
    TooManyUploads,
    Unavailable,
    UndeclaredCompression,
    Unimplemented,
    Unknown,
    UnknownCompression,
    UnknownHost,
    UnknownMethod,
    UnknownOrigin,
    UnknownProtocol,
    UploadBytesExceeded,
)

__all__ = [
    "BY_REASON",
    "FAULTS",
    "Aborted",
    "AlreadyExists",
    "BlobCorrupt",
    "Cancelled",
    "ChecksumMismatch",
    "ClientStalled",
    "Code",
    "ConexionesError",
    "CorruptImage",
    "DataLoss",
    "DeadlineExceeded",
    "EmptyImage",
    "EmptyName",
    "EmptyStream",
    "EtagMismatch",
    "FailedPrecondition",
    "FormatNotGranted",
    "ImageDeleted",
    "ImageError",
    "ImageNotFound",
    "ImageNotSmall",
    "ImageTooLarge",
    "Internal",
    "InvalidArgument",
    "InvalidField",
    "InvalidUtf8",
    "LinkExpired",
    "LinkInvalid",
    "MalformedMessage",
    "MalformedRequest",
    "MessageTooLarge",
    "NameTooLong",
    "NoCredentials",
    "NoPreview",
    "NoRendition",
    "NotAnImage",
    "NotFound",
    "NotOneMessage",
    "OffsetMismatch",
    "OffsetOutOfRange",
    "OutOfRange",
    "PermissionDenied",
    "PowOverflow",
    "PreviewProblem",
    "QuotaExceeded",
    "RateExceeded",
    "RequestIdReused",
    "ResourceExhausted",
    "ScopeMissing",
    "ServerBusy",
    "ServerDraining",
    "SizeExceeded",
    "StorageFull",
    "StorageUnavailable",
    "StreamIdle",
    "TicketUsedUp",
    "TokenExpired",
    "TokenMistyped",
    "TokenNotFound",
    "TokenRevoked",
    "TokenUnknown",
    "TooManyPixels",
    "TooManyUploads",
    "TruncatedImage",
    "Unauthenticated",
    "Unavailable",
    "UndeclaredCompression",
    "Unimplemented",
    "Unknown",
    "UnknownCompression",
    "UnknownHost",
    "UnknownMethod",
    "UnknownOrigin",
    "UnknownProtocol",
    "UnknownService",
    "UnsupportedFormat",
    "UploadBytesExceeded",
    "UploadEnded",
    "UploadIncomplete",
    "UploadNotFound",
    "WriterFenced",
    "leaves",
]


def leaves(root: type[ConexionesError] = ConexionesError) -> list[type[ConexionesError]]:
    """All errors that have a reason, in the order of the tree."""
    found = [root] if root.reason else []
    for child in root.__subclasses__():
        found += leaves(child)
    return found


BY_REASON: dict[str, type[ConexionesError]] = {leaf.reason: leaf for leaf in leaves()}
