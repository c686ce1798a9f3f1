// The SHA-256 of an upload: computed while the source is read, or given by the caller.
import { createHash } from "node:crypto";

import type { Source } from "./sources.js";

const READ_BYTES = 1 << 20;

/** Computes the SHA-256 of a source while it is read. Bytes that are read again are hashed only once. */
export class Digest {
  readonly #hash = createHash("sha256");
  readonly #source: Source;
  #size = 0;

  constructor(source: Source) {
    this.#source = source;
  }

  /** Reads and hashes the bytes before `offset`, which another process has sent. */
  async catchUp(offset: number, signal: AbortSignal): Promise<void> {
    while (this.#size < offset) {
      signal.throwIfAborted();
      const start = this.#size;
      const bytes = await this.#source.read(start, Math.min(READ_BYTES, offset - start));
      if (bytes.length === 0) throw new RangeError("The server has more bytes than there are: this is another file.");
      this.add(start, bytes);
    }
  }

  add(offset: number, bytes: Uint8Array): void {
    const fresh = bytes.subarray(Math.max(0, this.#size - offset));
    this.#hash.update(fresh);
    this.#size += fresh.length;
  }

  result(): Uint8Array {
    // A digest can be taken only once, and finishing may have to be retried: take it of a copy.
    return this.#hash.copy().digest();
  }
}

/** The bytes of a SHA-256 that is given as 32 bytes, or as 64 hexadecimal digits. */
export function digestOf(sha256: Uint8Array | string): Uint8Array {
  return typeof sha256 === "string" ? Buffer.from(sha256, "hex") : sha256;
}

/** A SHA-256 that the caller knows. Nothing is read or hashed. */
export class KnownDigest {
  readonly #bytes: Uint8Array;

  constructor(sha256: Uint8Array | string) {
    this.#bytes = digestOf(sha256);
  }

  async catchUp(): Promise<void> {}

  add(): void {}

  result(): Uint8Array {
    return this.#bytes;
  }
}
