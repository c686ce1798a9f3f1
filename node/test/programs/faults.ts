// Moves an image over a bad network for every line of standard input, and prints a line with the outcome.
//
//     {"address": "HOST:PORT", "image": "FILE", "source": "bytes|stream|file", "target": "bytes|stream|file",
//      "patienceMs": 40000, "chunkSize": 262144}   →   {"sha256": "…"} or {"error": {…}}
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { Client, ConexionesError } from "conexiones";
import type { UploadSource } from "conexiones";

type Kind = "bytes" | "stream" | "file";

interface Order {
  address: string;
  image: string;
  source: Kind;
  target: Kind;
  patienceMs: number;
  chunkSize: number;
}

async function sourceOf({ image, source }: Order): Promise<UploadSource> {
  if (source === "file") return image;
  // Pieces whose size is no divisor of that of a chunk.
  if (source === "stream") return createReadStream(image, { highWaterMark: 77_777 });
  return await readFile(image);
}

async function received(client: Client, id: string, target: Kind): Promise<Uint8Array> {
  if (target === "bytes") return await client.download(id);
  const folder = await mkdtemp(join(tmpdir(), "conexiones-node-"));
  try {
    const file = join(folder, "image");
    await client.download(id, target === "file" ? file : createWriteStream(file));
    const others = (await readdir(folder)).filter((name) => name !== "image");
    if (others.length > 0) throw new Error(`It left ${others.join(", ")}.`);
    return await readFile(file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function moved(order: Order): Promise<object> {
  const { address, target, patienceMs, chunkSize } = order;
  const client = new Client({ address, timeoutMs: 2_000, patienceMs });
  try {
    const { id } = await client.upload(await sourceOf(order), { chunkSize });
    const bytes = await received(client, id, target);
    return { sha256: createHash("sha256").update(bytes).digest("hex") };
  } catch (error) {
    // Any other error is a defect of this program.
    if (!(error instanceof ConexionesError)) throw error;
    const { name, code, reason, message } = error;
    return { error: { name, code, reason, message } };
  } finally {
    client.close();
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await moved(JSON.parse(line) as Order)));
}
