"""What the suites need of a backend beside its port."""

from typing import Protocol

from conexiones.ports.catalog import Catalog


class CatalogBackend(Catalog, Protocol):
    """A catalog that the suites open and close themselves."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...
