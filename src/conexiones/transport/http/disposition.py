"""The header Content-Disposition (RFC 6266): the name under which a browser saves a file."""

import re
from urllib.parse import quote

_ATTR_CHAR = "!#$&+-.^_`|~"
"""The characters besides letters and digits that RFC 8187 leaves as they are."""


def disposition(kind: str, name: str, *, or_else: str) -> bytes:
    """`kind` is inline or attachment. `name` may have any characters; where it is empty, `or_else` stands for
    it, which has none that need to be escaped.

    Clients that do not know the extended form get one in which all characters that are not safe in a quoted
    string are replaced. The per cent sign is not either, because some take it for an escape (RFC 6266,
    appendix D).
    """
    if not name:
        return f'{kind}; filename="{or_else}"'.encode()
    plain = re.sub(r'[^ -~]|["%\\]', "_", name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHAR)}".encode()
