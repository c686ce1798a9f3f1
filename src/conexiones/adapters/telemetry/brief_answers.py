"""How OpenTelemetry's exporters talk HTTP to a collector: of its answer, only what is short is read."""

import os
import time
from collections.abc import Mapping
from typing import Any

import requests

MOST_BYTES = 64 << 10
"""The longest body that is read. Answers to OTLP have some ten bytes, or a sentence."""


ANSWER_SECONDS = 10.0
"""The longest time for it. A stream of events, say, has a byte now and then, and no end."""

_PIECE = 16
"""Bytes for which a piece is waited, so that the time is looked at."""


class BriefAnswers(requests.Session):
    """A session that reads no more than MOST_BYTES of an answer, for ANSWER_SECONDS: a collector that is
    none, or that was taken over, neither fills the memory nor keeps all that comes next from being sent. Of a
    longer one, the status counts."""

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        # The CA of the collector (OTEL_EXPORTER_OTLP_CERTIFICATE, `verify` of the session) counts more than
        # that of the machine (REQUESTS_CA_BUNDLE), but only where the request has it.
        if options.get("verify") is None and self.verify is not True:
            options["verify"] = self.verify
        # The client of the exporters knows no streams, so the body has to be there when this returns.
        response = super().request(*arguments, **{**options, "stream": True})
        body, until = bytearray(), time.monotonic() + ANSWER_SECONDS
        try:
            for piece in response.iter_content(_PIECE):
                body += piece
                if len(body) > MOST_BYTES or time.monotonic() > until:
                    body.clear()
                    response.close()
                    break
        except BaseException:
            response.close()
            raise
        response._content = bytes(body)
        return response


def session(environ: Mapping[str, str] = os.environ) -> requests.Session | None:
    """For an exporter; None if the environment says that it gets one from elsewhere, with credentials."""
    if any(name.startswith("OTEL_PYTHON_") and name.endswith("_CREDENTIAL_PROVIDER") for name in environ):
        return None
    return BriefAnswers()
