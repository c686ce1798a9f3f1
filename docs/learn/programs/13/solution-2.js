const { readdirSync } = require("node:fs");

const HOUR = 60 * 60 * 1000;

function recent(folder, now) {
  const newest = readdirSync(folder).sort().pop();
  const made = newest.replace(/(....)(..)(..)T(..)(..)(..)Z/, "$1-$2-$3T$4:$5:$6Z");
  return now - Date.parse(made) < 26 * HOUR;
}

const folder = "build/production/backups/backups";
const found = [recent(folder, Date.now()), recent(folder, Date.now() + 48 * HOUR)];

console.log(found.map((good) => (good ? "fine" : "no backup")).join(", "));
if (String(found) !== "true,false") {
  console.error("Not yet · Todavía no");
  process.exitCode = 1;
}
