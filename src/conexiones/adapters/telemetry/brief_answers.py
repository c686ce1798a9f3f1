"""How OpenTelemetry's exporters talk HTTP to a collector: of its answer, only what is short is read."""

import os
from collections.abc import Mapping
from typing import Any

import requests

MOST_BYTES = 64 << 10
"""The longest body that is read. Answers to OTLP have some ten bytes, or a sentence."""


class BriefAnswers(requests.Session):
    """A session that reads no more than MOST_BYTES of an answer: a collector that is none, or that was taken
    over, does not fill the memory. Of a longer one, the status counts."""

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        # The CA of the collector (OTEL_EXPORTER_OTLP_CERTIFICATE, `verify` of the session) counts more than
        # that of the machine (REQUESTS_CA_BUNDLE), but only where the request has it.
        if options.get("verify") is None and self.verify is not True:
            options["verify"] = self.verify
        # The client of the exporters knows no streams, so the body has to be there when this returns.
        response = super().request(*arguments, **{**options, "stream": True})
        body = bytearray()
        try:
            for piece in response.iter_content(4096):
                body += piece
                if len(body) > MOST_BYTES:
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
