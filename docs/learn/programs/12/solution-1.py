import sys
from pathlib import Path


def scrape(name):
    lines = Path(f"docs/learn/programs/12/{name}.prom").read_text().splitlines()
    total, count = (float(line.split()[-1]) for line in lines)
    return total, count


before, after = scrape("before"), scrape("after")
mean = (after[0] - before[0]) / (after[1] - before[1])

print("mean:", mean)
if mean != 0.5:
    sys.exit("Not yet · Todavía no")
