// What the tests share: the server that pytest has started, images of any size, and networks that break.
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

import { Client } from "conexiones";
import type { ClientOptions, ImageInfo } from "conexiones";

export const address = process.env["CONEXIONES_ADDRESS"] ?? "";
if (!address) throw new Error("CONEXIONES_ADDRESS names no server: pytest tests/node/test_node_sdk.py starts one.");

/** The data folder of the server. */
export const data = process.env["CONEXIONES_DATA_DIR"] ?? "";

export const MiB = 1 << 20;
export const elephant = new URL("../../../client/image/elephant.jpg", import.meta.url);
export const photograph = await readFile(elephant);

/** An image without its facts, which become known only some time after it was stored. */
export function asStored<T extends ImageInfo>(image: T): T {
  return { ...image, facts: undefined };
}

/** A client that is closed at the end of the test file. */
export function client(options: Partial<ClientOptions> = {}): Client {
  const made = new Client({ address, ...options });
  after(() => made.close());
  return made;
}

/** A folder that is removed at the end of the test file. */
export async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "conexiones-node-"));
  after(() => rm(made, { recursive: true }));
  return made;
}

/** A BMP of at least `size` bytes of noise. Every call makes another image. */
export function bmp(size: number): Buffer {
  const width = 1024;
  const height = Math.max(1, Math.ceil((size - 54) / (width * 3)));
  const bytes = Buffer.concat([bmpHeader(width, height), Buffer.alloc(width * height * 3, randomBytes(4093))]);
  return bytes;
}

export function bmpHeader(width: number, height: number): Buffer {
  const header = Buffer.alloc(54);
  header.write("BM");
  header.writeUInt32LE(54 + width * height * 3, 2);
  header.writeUInt32LE(54, 10);
  header.writeUInt32LE(40, 14);
  header.writeInt32LE(width, 18);
  header.writeInt32LE(height, 22);
  header.writeUInt16LE(1, 26);
  header.writeUInt16LE(24, 28);
  return header;
}

/** All that an iterable gives. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** A stream of bytes in pieces of odd sizes. */
export async function* pieces(bytes: Uint8Array, size = 77_777): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export interface Network {
  address: string;
  /** How many connections there were, and how many of them were broken. */
  connections: number;
  broken: number;
}

/** A relay to the server that breaks each of the first `breaks` connections after `bytes` in one direction. */
export async function brokenNetwork(bytes: number, breaks: number): Promise<Network> {
  return await relay((network, passed) => (passed > bytes && network.broken < breaks ? "break" : "pass"));
}

/** A relay to the server. After `hush()`, the connections made so far drop all bytes without any error. */
export async function silentNetwork(): Promise<Network & { hush(): void }> {
  let hushed = 0;
  const network = await relay((_network, _passed, connection) => (connection <= hushed ? "drop" : "pass"));
  return Object.assign(network, { hush: () => (hushed = network.connections) });
}

/** A relay to the server. `judge` decides, by the bytes that came on a connection in one direction, what to do with them. */
async function relay(
  judge: (network: Network, passed: number, connection: number) => "pass" | "drop" | "break",
): Promise<Network> {
  const at = address.lastIndexOf(":");
  const sockets = new Set<Socket>();
  const network = { address: "", connections: 0, broken: 0 };
  const listener = createServer((near) => {
    const connection = (network.connections += 1);
    const far = connect(Number(address.slice(at + 1)), address.slice(0, at));
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      let passed = 0;
      sockets.add(from);
      from.on("data", (data) => {
        passed += data.length;
        const fate = judge(network, passed, connection);
        if (fate === "break") {
          network.broken += 1;
          near.resetAndDestroy();
          far.destroy();
        } else if (fate === "pass" && !to.write(data)) {
          from.pause();
        }
      });
      to.on("drain", () => from.resume());
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  after(() => {
    listener.close();
    for (const socket of sockets) socket.destroy();
  });
  network.address = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
  return network;
}
