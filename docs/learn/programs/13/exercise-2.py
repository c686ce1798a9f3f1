import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory


def recent(backups, now):
    return any(backups.iterdir())


now = datetime.now(UTC)
found = []
for newest in (25, 27):
    with TemporaryDirectory() as folder:
        for hours in (newest, newest + 24):  # as `conexiones backup` names them
            Path(folder, f"{now - timedelta(hours=hours):%Y%m%dT%H%M%SZ}").mkdir()
        found.append(recent(Path(folder), now))

print(*("fine" if good else "no backup" for good in found), sep=", ")
if found != [True, False]:
    sys.exit("Not yet · Todavía no")
