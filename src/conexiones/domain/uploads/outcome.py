"""How an upload stands: whether it is known and open, and why it was rejected or failed."""

import json

from conexiones import errors
from conexiones.ports.records import UploadRecord
from conexiones.principals import Principal


def known(upload: UploadRecord | None, by: Principal | None = None) -> UploadRecord:
    """The upload that the catalog gave, if the caller sees it; None for any caller. Raises UploadNotFound."""
    if upload is None or (by and not by.sees_upload(upload.owner, upload.ticket)):
        raise errors.UploadNotFound(field="id")
    return upload


def still_open(upload: UploadRecord | None) -> UploadRecord:
    """The upload that the catalog gave, which is OPEN. Raises UploadNotFound and UploadEnded."""
    upload = known(upload)
    if upload.state != "OPEN":
        raise errors.UploadEnded(state=upload.state)
    return upload


def failure(upload: UploadRecord) -> errors.ConexionesError | None:
    """Why an upload was REJECTED or FAILED, None for one in another state."""
    if upload.failure is None:
        return None
    kept = json.loads(upload.failure)
    return errors.BY_REASON[kept["reason"]](field=kept["field"], **kept["facts"])


def as_json(error: errors.ConexionesError) -> str:
    """The text from which `failure` makes the error again, for the record of the upload."""
    return json.dumps({"reason": error.reason, "field": error.field, "facts": error.facts})
