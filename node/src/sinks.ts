// Where the bytes of a download go: a file or memory. Streams are in writables.ts.
import { constants } from "node:buffer";
import type { FileHandle } from "node:fs/promises";

import { BLOCK, DirectWriter } from "./direct.js";

export interface Sink {
  /** Whether bytes that were written can be taken back. */
  readonly again: boolean;
  /** How many bytes the sink had before the first write. */
  readonly size: number;
  /** Calls `failed` as soon as nothing more can be written, even if no write is under way. Called once, first of all. */
  watch?(failed: (error: unknown) => void): void;
  /** Tells how many bytes there will be in all. Called before the first write, and again after a restart. */
  expect(size: number): void;
  /** Appends the bytes. Resolves when there is room for more. */
  write(bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /** The bytes that the sink has, from the beginning. */
  written(): AsyncIterable<Uint8Array>;
  /** Empties the sink. Resolves with false if bytes that were written cannot be taken back. */
  restart(): Promise<boolean>;
  /** Resolves when all that was written has been passed on. */
  end?(signal: AbortSignal): Promise<void>;
  /** The download failed. */
  fail?(error: unknown): void;
}

const READ_BYTES = 1 << 20;
/** A smaller file goes through the page cache. */
const LARGE_BYTES = 16 << 20;

/** A file that is open for reading and appending. The caller lets it settle, syncs and closes it. */
export class FileSink implements Sink {
  readonly again = true;
  readonly #handle: FileHandle;
  size: number;
  #position: number;
  #large = false;
  #direct: DirectWriter | undefined;

  private constructor(handle: FileHandle, size: number) {
    this.#handle = handle;
    this.size = size;
    this.#position = size;
  }

  static async over(handle: FileHandle): Promise<FileSink> {
    return new FileSink(handle, (await handle.stat()).size);
  }

  expect(size: number): void {
    this.#large = size >= LARGE_BYTES;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#large && !this.#direct) bytes = await this.#begin(bytes);
    await (this.#direct ? this.#direct.write(bytes) : this.#append(bytes));
  }

  /** Writes up to the border of a block, and resolves with what is left, which goes past the page cache if that can be. */
  async #begin(bytes: Uint8Array): Promise<Uint8Array> {
    const head = Math.min(bytes.length, (BLOCK - (this.#position % BLOCK)) % BLOCK);
    await this.#append(bytes.subarray(0, head));
    if (head < bytes.length) {
      this.#direct = await DirectWriter.over(this.#handle, this.#position);
      this.#large = this.#direct !== undefined;
    }
    return bytes.subarray(head);
  }

  async #append(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, from, bytes.length - from, this.#position);
      from += bytesWritten;
      this.#position += bytesWritten;
    }
  }

  /** Resolves when all that was written is in the file, and nothing is being written any more. */
  async settle(): Promise<void> {
    const direct = this.#direct;
    if (!direct) return;
    this.#direct = undefined;
    try {
      const rest = await direct.rest();
      this.#position = direct.position;
      await this.#append(rest);
    } finally {
      await direct.close();
    }
  }

  async *written(): AsyncGenerator<Uint8Array> {
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    for (let at = 0; at < this.size; ) {
      const { bytesRead } = await this.#handle.read(buffer, 0, Math.min(READ_BYTES, this.size - at), at);
      if (bytesRead === 0) throw new Error("The part file became shorter while it was read.");
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  }

  async restart(): Promise<boolean> {
    await this.settle();
    await this.#handle.truncate(0);
    this.size = this.#position = 0;
    return true;
  }
}

/** Bytes in an ArrayBuffer, whether or not the TypeScript of the program tells these from shared ones. */
export type Bytes = ReturnType<typeof Uint8Array.of>;

/** An array in memory. */
export class BytesSink implements Sink {
  readonly again = true;
  readonly size = 0;
  #bytes: Bytes = new Uint8Array();
  #position = 0;

  expect(size: number): void {
    if (size > constants.MAX_LENGTH) throw new RangeError(`${size} bytes do not fit into one array: name a file.`);
    this.#bytes = new Uint8Array(size);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#bytes.set(bytes, this.#position);
    this.#position += bytes.length;
  }

  async *written(): AsyncGenerator<Uint8Array> {}

  async restart(): Promise<boolean> {
    this.#position = 0;
    return true;
  }

  bytes(): Bytes {
    return this.#bytes;
  }
}
