const { mkdirSync, mkdtempSync, readdirSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");

const HOUR = 60 * 60 * 1000;

function recent(folder, now) {
  return readdirSync(folder).length > 0;
}

const now = Date.now();
const found = [25, 27].map((newest) => {
  const folder = mkdtempSync(join(tmpdir(), "backups-"));
  for (const hours of [newest, newest + 24]) {
    const time = new Date(now - hours * HOUR).toISOString().slice(0, 19);
    mkdirSync(join(folder, `${time.replace(/[-:]/g, "")}Z`)); // as `conexiones backup` names them
  }
  const good = recent(folder, now);
  rmSync(folder, { recursive: true });
  return good;
});

console.log(found.map((good) => (good ? "fine" : "no backup")).join(", "));
if (String(found) !== "true,false") {
  console.error("Not yet · Todavía no");
  process.exitCode = 1;
}
