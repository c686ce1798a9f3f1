"""Which bucket the objects are in, as an operator names it."""

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from obstore.store import S3Store as Bucket

from conexiones.adapters.blobs.s3.patience import Patience

NOT_UNDERSTOOD = "The place for blobs is not understood: it looks like s3://BUCKET or s3://BUCKET/PREFIX."


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPlace:
    """A bucket by its URL, `s3://BUCKET/PREFIX`. `endpoint` is the URL of a server that is not Amazon's; such
    servers mostly want the bucket in the path rather than in the host: `path_style`, which is None for "where
    an endpoint is given".

    Credentials come from the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what the machine,
    its container or AWS_WEB_IDENTITY_TOKEN_FILE has.
    """

    url: str
    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None

    def __post_init__(self) -> None:
        """ValueError, whose sentence names no secret, if it is no such URL."""
        parts = urlsplit(self.url)
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(NOT_UNDERSTOOD)
        if self.endpoint is not None:
            end = urlsplit(self.endpoint)
            if end.scheme not in ("http", "https") or not end.hostname or "@" in end.netloc or end.query:
                raise ValueError(
                    "The endpoint of the object store is not understood: it looks like https://HOST:PORT."
                )

    @property
    def bucket(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def prefix(self) -> str:
        return urlsplit(self.url).path.strip("/")

    def __str__(self) -> str:
        """To be shown."""
        return f"{self.url} at {self.endpoint}" if self.endpoint else self.url

    def connect(self, patience: Patience) -> Bucket:
        """A client of the bucket, without I/O. ValueError if the driver does not take what the place says."""
        options: dict[str, str] = {}
        if self.endpoint is not None:
            options["endpoint"] = self.endpoint
        if self.region is not None or self.endpoint is not None:
            options["region"] = self.region or "us-east-1"
        path_style = self.endpoint is not None if self.path_style is None else self.path_style
        try:
            return Bucket(
                self.bucket,
                prefix=self.prefix or None,
                virtual_hosted_style_request=not path_style,
                client_options={
                    "allow_http": self.endpoint is not None and self.endpoint.startswith("http:"),
                    "connect_timeout": timedelta(seconds=patience.connect),
                    "timeout": timedelta(seconds=patience.attempt),
                },
                retry_config={
                    "max_retries": patience.retries,
                    "retry_timeout": timedelta(seconds=patience.request),
                    "backoff": {
                        "init_backoff": timedelta(milliseconds=100),
                        "max_backoff": timedelta(seconds=1),
                        "base": 2,
                    },
                },
                **options,  # type: ignore[arg-type]  # the names are those of its configuration
            )
        except Exception as error:
            said = " ".join(str(error).split())
            raise ValueError(f"{self} cannot be used: {said}.") from error
