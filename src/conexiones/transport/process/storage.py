"""What a server takes for itself before it starts: its data folder, or one for copies of what it shares."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from conexiones.private_folder import private_folder
from conexiones.settings import Settings
from conexiones.transport.process.data_lock import DataLock
from conexiones.transport.process.start_error import StartError, why

_PACKAGES = {"asyncpg": "postgres", "obstore": "s3"}
"""What is needed to share data, and the extra that has it."""


def check_storage(settings: Settings) -> None:
    """Raises StartError, whose sentence says what to change, if the settings contradict each other."""
    if not settings.database:
        _check_alone(settings)
        return
    if not settings.blobs:
        raise StartError(
            "--database needs --blobs s3://BUCKET/PREFIX: several servers cannot share the files of a data"
            " folder."
        )
    if settings.new_admin_token:
        raise StartError(
            "--new-admin-token is for a data folder: with --database, conexiones token first --again makes"
            " another token."
        )
    missing = [extra for package, extra in _PACKAGES.items() if find_spec(package) is None]
    if missing:
        raise StartError(
            f"--database needs the extras postgres and s3, of which {' and '.join(missing)} cannot be found."
            " In a clone of the project: pip install '.[server,postgres,s3]'."
        )


def _check_alone(settings: Settings) -> None:
    """Raises StartError for settings that mean nothing without a database."""
    given = {
        "--blobs": settings.blobs,
        "--database-direct": settings.database_direct,
        "--s3-endpoint": settings.s3_endpoint,
        "--s3-region": settings.s3_region,
        "--s3-path-style": settings.s3_path_style,
    }
    for name, value in given.items():
        if value is not None:
            raise StartError(
                f"{name} needs --database: of which objects an image consists is kept in PostgreSQL."
            )


@contextmanager
def taken(settings: Settings, private: Path) -> Iterator[tuple[Settings, tuple[int, ...]]]:
    """The settings for the application, and descriptors that it has to keep open. `private` is the folder of
    the server (private_folder.py). Raises StartError."""
    with ExitStack() as stack:
        if settings.database:
            try:
                settings.cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                cache = stack.enter_context(private_folder(settings.cache_dir))
            except OSError as error:
                raise StartError(f"Cannot use the folder {settings.cache_dir}: {why(error)}.") from None
            yield replace(settings, cache_dir=cache), ()
        else:
            lock = stack.enter_context(DataLock(settings.data_dir))
            lock.sweep(private)
            yield settings, lock.numbers
