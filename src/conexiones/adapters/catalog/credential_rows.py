"""Credentials as rows, the same in every catalog."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from conexiones.ports.access import Credential
from conexiones.principals import Allowance, Terms

COLUMNS = (
    "id",
    "kind",
    "digest",
    "name",
    "owner",
    "scopes",
    "own",
    "create_time",
    "expire_time",
    "revoke_time",
    "use_time",
    "parent",
    "allowance",
    "terms",
)


def credential_row(credential: Credential) -> tuple[Any, ...]:
    """The values of COLUMNS."""
    values = {
        **{name: getattr(credential, name) for name in COLUMNS},
        "scopes": " ".join(sorted(credential.scopes)),
        "allowance": json.dumps(asdict(credential.allowance)),
        "terms": _written(credential.terms),
    }
    return tuple(values.values())


def read_credential(row: Iterable[Any]) -> Credential:
    values = dict(zip(COLUMNS, row, strict=True))
    values["scopes"] = frozenset(values["scopes"].split())
    values["own"] = bool(values["own"])
    values["allowance"] = Allowance(**json.loads(values["allowance"]))
    values["terms"] = _read(values["terms"])
    return Credential(**values)


def _written(terms: Terms | None) -> str:
    if terms is None:
        return ""
    return json.dumps({"bytes": terms.bytes, "images": terms.images, "formats": sorted(terms.formats)})


def _read(text: str) -> Terms | None:
    if not text:
        return None
    values = json.loads(text)
    return Terms(bytes=values["bytes"], images=values["images"], formats=frozenset(values["formats"]))
