// Reads a file and computes its checksums, away from the page: one worker for each upload under way.
import { crc32c } from "./crc32c";
import { Sha256 } from "./sha256";

/** From the page. `start` once; then pieces in any order, of which what was digested before is not digested again. */
export type Request =
  | { kind: "start"; file: Blob; saved: Saved | undefined }
  | { kind: "read"; offset: number; size: number }
  | { kind: "digest"; size: number };

export type Reply =
  | { kind: "read"; data: Uint8Array<ArrayBuffer>; crc32c: number; saved: Saved | undefined }
  | { kind: "digest"; sha256: Uint8Array<ArrayBuffer> }
  | { kind: "failed"; message: string };

/** A SHA-256 on its way: with it a later page need not read again what was sent. */
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

/** Digests what lies before that offset and is not digested yet. */
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

// One after the other, as the digest needs them.
let turn: Promise<void> = Promise.resolve();
addEventListener("message", ({ data }: MessageEvent<Request>) => {
  turn = turn.then(async () => {
    let reply: Reply | undefined;
    try {
      reply = await answer(data);
    } catch (error) {
      reply = { kind: "failed", message: String(error) };
    }
    // The bytes move to the page, they are not copied.
    if (reply) postMessage(reply, { transfer: reply.kind === "read" ? [reply.data.buffer] : [] });
  });
});
