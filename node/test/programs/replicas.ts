// Clients of several servers that store, read, delete and watch images at random, while their servers fail. Each line of
// standard input is an order, which is answered by {"done": true}; what the clients are told is a line each, too.
//
//     replicas FOLDER     FOLDER has "icon 0" to "icon 5" and "scan 0" to "scan 2"
//     {"do": "begin", "seed": 7, "workers": 3, "kept": {ID: "icon 1"}}     {"do": "end"}     {"do": "close"}
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { Client, Code, ConexionesError } from "conexiones";

const [folder = ""] = process.argv.slice(2);
const { REPLICAS_ADDRESS: address, REPLICAS_ADMIN: admin, REPLICAS_TOKEN: token } = process.env;
const TIMES = { timeoutMs: 4_000, patienceMs: 60_000 };
/** After so many events a watcher ends, and another client goes on with its token. */
const EVENTS = 25;

const say = (line: unknown) => console.log(JSON.stringify(line));
const path = (content: string) => join(folder, content);

/** Random numbers that a seed decides: a linear congruential generator, with Knuth's constants. */
class Chance {
  #state: bigint;
  constructor(seed: number) {
    this.#state = BigInt(seed) * 2_862_933_555_777_941_757n + 3_037_000_493n;
  }
  below(end: number): number {
    this.#state = BigInt.asUintN(64, this.#state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n);
    return Number(this.#state >> 33n) % end;
  }
}

let going = false;
let number = 0;
let kept = new Map<string, string>();
const newName = () => `n${number++}.bmp`;

function stored(id: string, content: string, what: string): void {
  kept.set(id, content);
  say({ stored: id, content, what });
}

async function upload(client: Client, chance: Chance): Promise<void> {
  const content = `icon ${chance.below(6)}`;
  stored((await client.upload(path(content), { name: newName() })).id, content, "upload");
}

async function stream(client: Client, chance: Chance): Promise<void> {
  const wanted = Array.from({ length: 8 }, () => `icon ${chance.below(6)}`);
  const items = wanted.map((content) => ({ source: path(content), name: newName() }));
  for await (const { image, error, index } of client.uploadMany(items)) {
    if (!image) throw error;
    stored(image.id, wanted[index] ?? "", "stream");
  }
}

async function scan(client: Client, chance: Chance): Promise<void> {
  const content = `scan ${chance.below(3)}`;
  const source = chance.below(2) ? path(content) : createReadStream(path(content), { highWaterMark: 77_777 });
  let before = 0;
  const onProgress = ({ bytes }: { bytes: number }) => {
    if (bytes < before) say({ wrong: `what was acknowledged was taken back: ${bytes} after ${before}` });
    before = bytes;
  };
  stored((await client.upload(source, { name: newName(), chunkSize: 200_000, onProgress })).id, content, "scan");
}

function any(chance: Chance): [string, string] | undefined {
  return kept.size > 0 ? [...kept][chance.below(kept.size)] : undefined;
}

async function remove(client: Client, chance: Chance): Promise<void> {
  const [id] = any(chance) ?? [];
  if (id === undefined) return;
  kept.delete(id);
  say({ deleting: id });
  await client.delete(id);
  say({ deleted: id });
}

async function read(client: Client, chance: Chance): Promise<void> {
  const [id, content] = any(chance) ?? [];
  if (id === undefined || content === undefined) return;
  let data: Uint8Array;
  try {
    data = await client.download(id);
  } catch (error) {
    if (kept.has(id) || !(error instanceof ConexionesError) || error.reason !== "IMAGE_NOT_FOUND") throw error;
    return; // it was deleted meanwhile
  }
  if (!(await readFile(path(content))).equals(data)) say({ wrong: `${id} has other bytes` });
  say({ did: "read" });
}

const WORKS = [upload, upload, upload, stream, scan, remove, remove, read, read];
/** What a client may be told while something is away for longer than it waits. */
const BUSY = new Set([Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED]);

async function work(chance: Chance): Promise<void> {
  const client = new Client({ address, token, ...TIMES });
  while (going) {
    try {
      await (WORKS[chance.below(WORKS.length)] ?? upload)(client, chance);
    } catch (error) {
      if (error instanceof ConexionesError && BUSY.has(error.code)) say({ failed: error.reason || error.name });
      else say({ wrong: error instanceof Error ? error.stack : "an error that is none" });
    }
  }
  client.close();
}

let watching = true;
let ends = () => undefined as unknown;

/** Calls back when it has begun. */
async function watch(onBegin: () => void): Promise<void> {
  let resumeToken: string | undefined;
  while (watching) {
    const client = new Client({ address, token: admin, ...TIMES });
    ends = () => client.close();
    let left = EVENTS;
    for await (const event of client.watch({ resumeToken, onHeartbeat: onBegin })) {
      const { kind } = event;
      const id = kind === "deleted" ? event.id : kind === "resync" ? "" : event.image.id;
      say({ event: kind.toUpperCase(), id });
      ({ resumeToken } = event);
      left -= 1;
      if (left === 0) break;
    }
    client.close();
  }
}

await new Promise<void>((resolve) => {
  watch(resolve).catch((error: unknown) => {
    if (watching) say({ wrong: error instanceof Error ? error.stack : "an error that is none" });
  });
});
say({ done: true });
let workers: Promise<void>[] = [];
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as { do: string; seed?: number; workers?: number; kept?: Record<string, string> };
  if (order.do === "close") break;
  going = order.do === "begin";
  if (order.kept) kept = new Map(Object.entries(order.kept));
  const { seed = 0, workers: length = 1 } = order;
  if (going) workers = Array.from({ length }, (_, at) => work(new Chance(1000 * seed + at)));
  else await Promise.all(workers);
  say({ done: true });
}
watching = false;
process.stdin.destroy(); // Node may go on reading it when the loop has been left, and would not end
ends();
