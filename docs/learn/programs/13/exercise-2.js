const { readdirSync } = require("node:fs");

const HOUR = 60 * 60 * 1000;

function recent(folder, now) {
  return readdirSync(folder).length > 0;
}

const folder = "build/production/backups/backups";
const found = [recent(folder, Date.now()), recent(folder, Date.now() + 48 * HOUR)];

console.log(found.map((good) => (good ? "fine" : "no backup")).join(", "));
if (String(found) !== "true,false") {
  console.error("Not yet · Todavía no");
  process.exitCode = 1;
}
