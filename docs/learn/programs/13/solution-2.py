import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory


def recent(backups, now):
    newest = max(path.name for path in backups.iterdir())
    made = datetime.strptime(newest, "%Y%m%dT%H%M%S%z")
    return now - made < timedelta(hours=26)


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
