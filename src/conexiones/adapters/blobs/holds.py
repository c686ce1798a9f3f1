"""Which uploads are held in this process, each by one at a time."""

import re

_UPLOAD_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


def is_upload_id(text: str) -> bool:
    """Whether that can be an upload's id, and so the name of a file: 1 to 64 letters, digits and hyphens."""
    return _UPLOAD_ID.fullmatch(text) is not None


def check_upload_id(text: str) -> None:
    """Raises ValueError if that is none."""
    if not is_upload_id(text):
        raise ValueError(f"{text!r} is no id of an upload")


class Hold:
    """An upload that is held until `end`."""

    def __init__(self, upload: str, held: set[str]) -> None:
        self.upload = upload
        self._held = held
        self.lasts = True
        held.add(upload)

    def check(self) -> None:
        """Raises RuntimeError after `end`."""
        if not self.lasts:
            raise RuntimeError(f"upload {self.upload} was let go")

    def end(self) -> None:
        """May be called more than once."""
        if self.lasts:
            self.lasts = False
            self._held.discard(self.upload)


class Holds:
    """Used on the event loop only."""

    def __init__(self) -> None:
        self._held: set[str] = set()

    def __contains__(self, upload: str) -> bool:
        return upload in self._held

    def take(self, upload: str) -> Hold:
        """ValueError if that is no id of an upload, and RuntimeError if it is held already."""
        check_upload_id(upload)
        if upload in self._held:
            raise RuntimeError(f"upload {upload} is held already")
        return Hold(upload, self._held)
