// The source of an upload that can be read only once. It keeps the bytes that the server has not acknowledged yet.
import { ReadableStream } from "node:stream/web";

import { isNodeStream, reusesMemory, Taking } from "./iterables.js";
import type { Source } from "./sources.js";

/** Size of the buffers in which small pieces of a stream are collected. */
const BLOCK_BYTES = 64 << 10;

type Pieces = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** A source that can be read only once. It keeps its bytes from the released offset on. */
export interface StreamFacts {
  /** In bytes. */
  size?: number | undefined;
  name?: string | undefined;
  unresumable?: string | undefined;
}

export class StreamSource implements Source {
  readonly size: number | undefined;
  readonly name: string;
  readonly unresumable: string | undefined;
  readonly #pieces: Taking<unknown>;
  readonly #copies: boolean;
  #kept: Uint8Array[] = [];
  /** The block behind the last of `#kept`, while it has room. */
  #open: { block: Buffer; used: number } | undefined;
  /** The offset at which `#kept` begins. */
  #start = 0;
  /** The offset at which `#kept` ends. */
  #end = 0;
  #done = false;
  #pulling: Promise<void> | undefined;

  constructor(stream: Pieces, { size, name = "", unresumable }: StreamFacts = {}) {
    const pieces = Taking.of<unknown>(stream);
    if (!pieces) throw new TypeError("The stream is not iterable.");
    this.#pieces = pieces;
    this.#copies = reusesMemory(stream);
    this.size = size;
    this.name = name;
    this.unresumable = unresumable;
  }

  get again(): boolean {
    return this.#start === 0;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < this.#start) throw new RangeError("The bytes asked for were released.");
    while (!this.#done && this.#end < offset + length) {
      // Shared, so that a pull begun for a reader that was aborted is not lost for the next reader.
      this.#pulling ??= this.#pull();
      await this.#pulling;
    }
    return this.#slice(offset, Math.min(offset + length, this.#end));
  }

  release(offset: number): void {
    for (let first = this.#kept[0]; first && this.#start + first.length <= offset; first = this.#kept[0]) {
      this.#start += first.length;
      this.#kept.shift();
    }
    if (this.#kept.length === 0) this.#open = undefined;
  }

  async close(): Promise<void> {
    this.#pieces.end();
  }

  async #pull(): Promise<void> {
    // If next() throws, `#pulling` stays set, so that every later read fails with the same error.
    const { value, done } = await this.#pieces.next();
    if (done) {
      this.#done = true;
    } else {
      if (!(value instanceof Uint8Array)) throw new TypeError("The stream gives something else than bytes.");
      this.#keep(value);
    }
    this.#pulling = undefined;
  }

  /** Keeps a piece. Small pieces are collected in blocks, so that a million pieces of one byte need few buffers. */
  #keep(piece: Uint8Array): void {
    this.#end += piece.length;
    if (piece.length >= BLOCK_BYTES) {
      this.#kept.push(this.#copies ? Buffer.from(piece) : piece);
      this.#open = undefined;
      return;
    }
    while (piece.length > 0) {
      if (!this.#open || this.#open.used === BLOCK_BYTES) {
        this.#open = { block: Buffer.allocUnsafeSlow(BLOCK_BYTES), used: 0 };
        this.#kept.push(this.#open.block.subarray(0, 0));
      }
      const { block, used } = this.#open;
      block.set(piece.subarray(0, BLOCK_BYTES - used), used);
      this.#open.used = Math.min(BLOCK_BYTES, used + piece.length);
      this.#kept[this.#kept.length - 1] = block.subarray(0, this.#open.used);
      piece = piece.subarray(this.#open.used - used);
    }
  }

  #slice(from: number, to: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let start = this.#start;
    for (const part of this.#kept) {
      if (start >= to) break;
      if (start + part.length > from) parts.push(part.subarray(Math.max(0, from - start), to - start));
      start += part.length;
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }
}

/** Ends a source that was not opened, because the upload has failed before. */
export function discard(source: unknown): void {
  if (isNodeStream(source)) source.on("error", () => undefined).destroy();
  else if (source instanceof ReadableStream && !source.locked) source.cancel().catch(() => undefined);
}
