"""Rows of the catalog that are damaged, which only their checksums tell."""

from conexiones.adapters.catalog.sqlite.catalog_file import CatalogFile
from conexiones.domain.verifying import end_of
from conexiones.upkeep.data_folder import SCHEMA

_PAGE = 1000


def damaged_rows(catalog: CatalogFile) -> list[str]:
    """The ids of images whose rows are not what was written. A catalog of an earlier schema, as an old backup
    has, cannot be asked."""
    if catalog.schema < SCHEMA:
        return []
    found: list[str] = []
    before = None
    while images := catalog.images(before, _PAGE):
        found += [str(image.id) for image, intact in images if not intact]
        if (before := end_of(images, before)) is None:
            break
    return found
