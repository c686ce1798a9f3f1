"""The page at `/` and the course at `/learn`: static files that the package carries, built from web/ and
from the lessons in docs/ by `make generate`.

Every file that is not HTML has a hash of its content in its name, so that a browser may keep it for ever.
Beside a file there may be compressed copies (`.br`, `.gz`), for clients that accept them.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from conexiones.transport.chain.call import Call
from conexiones.transport.http.conditions import accepts, none_match

FOLDER = Path(__file__).resolve().parents[2] / "page"
COURSE = Path(__file__).resolve().parents[2] / "learn"
PREFIX = "/page/"
LEARN = "/learn"
INDEX = "index.html"

_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".json": b"application/json",
}
_CODINGS = {"br": ".br", "gzip": ".gz"}  # the smaller one first

# Nothing from another origin, nothing inline, and no page may frame this one.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    b" worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"vary", b"accept-encoding"),
]


@dataclass(frozen=True, slots=True)
class _File:
    """One representation of a file, in one content coding, with its strong entity tag."""

    headers: list[tuple[bytes, bytes]]
    etag: str
    body: bytes


class Page:
    """The endpoint of the page's files, for GET and HEAD. Nothing is read before `open`; then all of it is in
    memory."""

    def __init__(self, folder: Path = FOLDER, course: Path = COURSE) -> None:
        self._folder = folder
        self._course = course
        self._files: dict[str, dict[str, _File]] = {}

    def open(self) -> None:
        """Reads the files. FileNotFoundError if they were never built."""
        files = {}
        for path in sorted(self._folder.iterdir()):
            if path.suffix in _TYPES:
                url = "/" if path.name == INDEX else PREFIX + path.name
                files[url] = _representations(path)
        if "/" not in files:
            raise FileNotFoundError(f"the page is not built: {self._folder / INDEX} is missing")
        for path in self._course.rglob("*"):
            if path.suffix in _TYPES:
                representations = _representations(path)
                for url in _course_urls(path.relative_to(self._course)):
                    files[url] = representations
        self._files = files

    def has(self, path: str) -> bool:
        return path in self._files

    async def __call__(self, call: Call) -> None:
        choices = self._files[call.path]
        accepted = call.header(b"accept-encoding").decode("latin-1")
        coding = next((one for one in _CODINGS if one in choices and accepts(accepted, one)), "")
        file = choices[coding]
        if none_match(call.header(b"if-none-match").decode("latin-1"), file.etag):
            kept = [entry for entry in file.headers if entry[0] not in {b"content-type", b"content-encoding"}]
            await call.respond(304, kept, b"")
            return
        headers = [*file.headers, (b"content-length", str(len(file.body)).encode())]
        await call.respond(200, headers, file.body)


def _course_urls(name: Path) -> list[str]:
    """The URLs of a file of the course. Those of pages have no .html; a slash at their end is allowed."""
    if name.suffix != ".html":
        return [f"{LEARN}/{name}"]
    url = f"{LEARN}/{name.with_suffix('')}".removesuffix("/index")
    return [url, f"{url}/"]


def _representations(path: Path) -> dict[str, _File]:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:32]
    cache = "no-cache" if path.suffix == ".html" else "public, max-age=31536000, immutable"

    def representation(coding: str, body: bytes) -> _File:
        etag = f'"{digest}{coding and "-" + coding}"'
        headers = [
            *_HEADERS,
            (b"content-type", _TYPES[path.suffix]),
            (b"cache-control", cache.encode()),
            (b"etag", etag.encode()),
        ]
        if coding:
            headers.append((b"content-encoding", coding.encode()))
        return _File(headers, etag, body)

    found = {"": representation("", content)}
    for coding, suffix in _CODINGS.items():
        compressed = path.with_name(path.name + suffix)
        if compressed.exists():
            found[coding] = representation(coding, compressed.read_bytes())
    return found
