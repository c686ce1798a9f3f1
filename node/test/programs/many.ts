// Uploads all files of a folder by uploadMany(), for the bench and for tests that kill the server meanwhile.
//
//     many FOLDER [USER]     prints {"first": true} after the first result, and at the end {"stored", "failed", "seconds", "peak"}
import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { Client } from "conexiones";

const [folder = "", user = ""] = process.argv.slice(2);
const client = Client.fromEnviron({ patienceMs: 60_000 });
const say = (line: unknown) => console.log(JSON.stringify(line));

const paths = (await readdir(folder)).map((name) => join(folder, name));
const counts = { stored: 0, failed: 0 };
const start = performance.now();
for await (const { error } of client.uploadMany(paths, { user })) {
  if (counts.stored + counts.failed === 0) say({ first: true });
  if (error) counts.failed += 1;
  else counts.stored += 1;
}
const seconds = (performance.now() - start) / 1000;
// Not resourceUsage().maxRSS, which begins with the memory of the parent process.
const peak = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
say({ ...counts, seconds, peak });
client.close();
