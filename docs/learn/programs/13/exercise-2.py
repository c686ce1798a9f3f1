import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path


def recent(backups, now):
    return any(backups.iterdir())


backups = Path("build/production/backups/backups")
now = datetime.now(UTC)
found = [recent(backups, now), recent(backups, now + timedelta(days=2))]

print(*("fine" if good else "no backup" for good in found), sep=", ")
if found != [True, False]:
    sys.exit("Not yet · Todavía no")
