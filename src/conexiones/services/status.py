"""conexiones.v1.StatusService: see proto/conexiones/v1/status.proto."""

from conexiones import __version__
from conexiones.domain.status import Status
from conexiones.gen.conexiones.v1.status_pb2 import GetStatusRequest, GetStatusResponse
from conexiones.services.context import Context
from conexiones.services.messages import timestamp


class StatusService:
    def __init__(self, status: Status) -> None:
        self._status = status

    async def get_status(self, request: GetStatusRequest, call: Context, /) -> GetStatusResponse:
        counts = await self._status.counts(by=call.principal)
        return GetStatusResponse(
            version=__version__,
            start_time=timestamp(self._status.start_time),
            image_count=counts.images,
            image_bytes=counts.image_bytes,
            user_count=counts.users,
            open_upload_count=counts.open_uploads,
        )
