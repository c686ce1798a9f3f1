import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path


def recent(backups, now):
    newest = max(path.name for path in backups.iterdir())
    made = datetime.strptime(newest, "%Y%m%dT%H%M%S%z")
    return now - made < timedelta(hours=26)


backups = Path("build/production/backups/backups")
now = datetime.now(UTC)
found = [recent(backups, now), recent(backups, now + timedelta(days=2))]

print(*("fine" if good else "no backup" for good in found), sep=", ")
if found != [True, False]:
    sys.exit("Not yet · Todavía no")
