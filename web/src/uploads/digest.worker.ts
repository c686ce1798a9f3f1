// Reads a file and computes its checksums off the main thread. Each running upload has a worker of its own.
import { crc32c } from "./crc32c";
import { Sha256 } from "./sha256";

/** A request of the page. `start` comes once and first. Bytes that are read again are not hashed again. */
export type Request =
  | { kind: "start"; file: Blob; saved: Saved | undefined }
  | { kind: "read"; offset: number; size: number }
  | { kind: "digest"; size: number };

export type Reply =
  | { kind: "read"; data: Uint8Array<ArrayBuffer>; crc32c: number; saved: Saved | undefined }
  | { kind: "digest"; sha256: Uint8Array<ArrayBuffer> }
  | { kind: "failed"; message: string };

/** The state of an unfinished SHA-256, with which a later page need not read again the bytes that were sent. */
export interface Saved {
  state: Int32Array<ArrayBuffer>;
  size: number;
}

const READ_BYTES = 4 << 20;

let file = new Blob();
let sha = new Sha256();

async function read(offset: number, size: number): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await file.slice(offset, offset + size).arrayBuffer());
}

/** Reads and hashes the bytes before the offset that were not hashed yet. */
async function catchUp(offset: number): Promise<void> {
  while (sha.size < offset) {
    const piece = await read(sha.size, Math.min(READ_BYTES, offset - sha.size));
    if (piece.length === 0) throw new RangeError("The file is shorter than it was.");
    sha.update(piece);
  }
}

async function answer(request: Request): Promise<Reply | undefined> {
  if (request.kind === "start") {
    file = request.file;
    sha = request.saved ? Sha256.load(request.saved.state, request.saved.size) : new Sha256();
    return undefined;
  }
  if (request.kind === "digest") {
    await catchUp(request.size);
    return { kind: "digest", sha256: sha.digest() };
  }
  const { offset, size } = request;
  await catchUp(offset);
  const data = await read(offset, size);
  if (data.length !== size) throw new RangeError("The file is shorter than it was.");
  if (sha.size < offset + size) sha.update(data.subarray(sha.size - offset));
  const state = sha.save();
  return { kind: "read", data, crc32c: crc32c(data), saved: state && { state, size: sha.size } };
}

// Requests are processed one after the other, because the digest needs the bytes in order.
let turn: Promise<void> = Promise.resolve();
addEventListener("message", ({ data }: MessageEvent<Request>) => {
  turn = turn.then(async () => {
    let reply: Reply | undefined;
    try {
      reply = await answer(data);
    } catch (error) {
      reply = { kind: "failed", message: String(error) };
    }
    // The bytes are transferred to the page, not copied.
    if (reply) postMessage(reply, { transfer: reply.kind === "read" ? [reply.data.buffer] : [] });
  });
});
