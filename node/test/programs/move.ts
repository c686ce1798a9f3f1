// Moves one image and prints a line of JSON for every step, for tests that kill the server or this program.
//
//     move put FILE [resume]     uploads a file
//     move pipe FILE             uploads it as a stream that cannot be read again; waits for a line of stdin at each half
//     move get ID FILE [resume]  downloads
//     move reasons               prints every reason that the package knows
//
// With MOVE_STILL_AT, it stands still when more bytes than that are through, until it is killed.
import { createReadStream, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { createInterface } from "node:readline";

import { Client, REASONS } from "conexiones";
import type { Image, Progress } from "conexiones";

const [what, one = "", two = "", three] = process.argv.slice(2);
const client = Client.fromEnviron({ patienceMs: 60_000 });
const say = (line: unknown) => console.log(JSON.stringify(line));
const stillAt = Number(process.env["MOVE_STILL_AT"] ?? Infinity);
const onProgress = ({ bytes, total }: Progress) => {
  say({ bytes, total });
  if (bytes > stillAt) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
};

async function* inHalves(path: string): AsyncGenerator<Uint8Array> {
  const half = (await stat(path)).size / 2;
  let sent = 0;
  const pieces = createReadStream(path, { highWaterMark: 100_000 }) as AsyncIterable<Buffer>;
  for await (const piece of pieces) {
    yield piece;
    if (sent < half && sent + piece.length >= half) {
      const lines = createInterface({ input: process.stdin });
      await new Promise((resolve) => lines.once("line", resolve));
      lines.close();
    }
    sent += piece.length;
  }
}

async function move(): Promise<Image> {
  if (what === "put") return await client.upload(one, { onProgress, resume: two === "resume" });
  if (what === "pipe") return await client.upload(inHalves(one), { onProgress });
  return await client.download(one, two, { onProgress, resume: three === "resume" });
}

if (what === "reasons") {
  say(REASONS);
} else {
  const start = performance.now();
  const { id, sha256, sizeBytes } = await move();
  const seconds = (performance.now() - start) / 1000;
  // Not resourceUsage().maxRSS, which begins with the memory of the parent process.
  const peak = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
  say({ id, sha256: Buffer.from(sha256).toString("hex"), sizeBytes, seconds, peak });
}
client.close();
