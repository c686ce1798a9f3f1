"""conexiones.v1.StatusService: see proto/conexiones/v1/status.proto."""

from conexiones import __version__
from conexiones.domain.status import Status
from conexiones.domain.verifying import Scrub
from conexiones.gen.conexiones.v1.status_pb2 import GetStatusRequest, GetStatusResponse, Verification
from conexiones.services.context import Context
from conexiones.services.messages import timestamp


class StatusService:
    def __init__(self, status: Status, scrub: Scrub, *, build: str, schema: int) -> None:
        """`build` is the commit that the program was built from, if that is known; `schema` the number of the
        catalog's schema."""
        self._status = status
        self._scrub = scrub
        self._build = build
        self._schema = schema

    async def get_status(self, request: GetStatusRequest, call: Context, /) -> GetStatusResponse:
        counts = await self._status.counts(by=call.principal)
        # What is damaged is counted for all owners together.
        everything = call.principal.view is None
        return GetStatusResponse(
            version=__version__,
            start_time=timestamp(self._status.start_time),
            image_count=counts.images,
            image_bytes=counts.image_bytes,
            user_count=counts.users,
            open_upload_count=counts.open_uploads,
            build=self._build,
            schema_version=self._schema,
            verification=self._verification() if everything else None,
        )

    def _verification(self) -> Verification:
        state = self._scrub.state
        current, finished = state.current, state.finished
        return Verification(
            begin_time=timestamp(current.begin_time) if current.begin_time else None,
            image_count=current.images,
            image_bytes=current.bytes,
            last_finish_time=timestamp(finished.finish_time) if finished.finish_time else None,
            last_image_count=finished.images,
            last_image_bytes=finished.bytes,
            damaged_image_count=len(state.damaged),
        )
