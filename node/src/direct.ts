// Writing past the page cache of Linux (O_DIRECT), which is faster for large files: filling fresh pages of that cache
// takes longer than receiving the bytes, and a sync at the end would write all of them at once.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";

/** O_DIRECT takes whole blocks: memory, offsets and lengths are multiples of this many bytes. */
export const BLOCK = 4096;
/** Bytes of one write. */
const PIECE = 4 << 20;
/** The unit of WebAssembly's memory, in bytes. */
const PAGE = 64 << 10;

/** The types of Node.js do not have it, and an engine without a compiler does not, either. */
declare const WebAssembly: { Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer } } | undefined;

/** The end of a file, to which whole blocks are appended. Two pieces are in memory: one is filled while the other is written. */
export class DirectWriter {
  readonly #file: FileHandle;
  readonly #handle: FileHandle;
  readonly #memory: Uint8Array;
  #direct = true;
  #position: number;
  #half = 0;
  #filled = 0;
  #writing: Promise<void> = Promise.resolve();

  private constructor(file: FileHandle, handle: FileHandle, memory: Uint8Array, position: number) {
    this.#file = file;
    this.#handle = handle;
    this.#memory = memory;
    this.#position = position;
  }

  /** From `position` on, the border of a block. Resolves with undefined where it cannot be had. */
  static async over(file: FileHandle, position: number): Promise<DirectWriter | undefined> {
    if (!constants.O_DIRECT || typeof WebAssembly === "undefined") return undefined;
    try {
      // No other memory of JavaScript begins at a page.
      const memory = new Uint8Array(new WebAssembly.Memory({ initial: (2 * PIECE) / PAGE }).buffer);
      // The same file, whatever its name leads to by now.
      const handle = await open(`/proc/self/fd/${file.fd}`, constants.O_WRONLY | constants.O_DIRECT);
      return new DirectWriter(file, handle, memory, position);
    } catch {
      return undefined;
    }
  }

  /** Where the next byte goes. */
  get position(): number {
    return this.#position + this.#filled;
  }

  /** Throws the error of an earlier write. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length; ) {
      const taken = Math.min(bytes.length - from, PIECE - this.#filled);
      this.#memory.set(bytes.subarray(from, from + taken), this.#half + this.#filled);
      this.#filled += taken;
      from += taken;
      if (this.#filled === PIECE) await this.#next(PIECE);
    }
  }

  /** Writes whole blocks, and resolves with what is left of the last one. */
  async rest(): Promise<Uint8Array> {
    const left = this.#filled % BLOCK;
    const end = this.#half + this.#filled;
    const rest = this.#memory.slice(end - left, end);
    await this.#next(this.#filled - left);
    await this.#writing;
    return rest;
  }

  /** Waits until nothing is written any more. */
  async close(): Promise<void> {
    await this.#writing.catch(() => undefined);
    await this.#handle.close();
  }

  /** Begins to write the half that is filled, when the other one is written. */
  async #next(length: number): Promise<void> {
    await this.#writing;
    this.#writing = this.#write(this.#half, length, this.#position);
    this.#writing.catch(() => undefined); // thrown to whoever comes next
    this.#position += length;
    this.#half = PIECE - this.#half;
    this.#filled = 0;
  }

  async #write(start: number, length: number, position: number): Promise<void> {
    for (let done = 0; done < length; ) {
      const handle = this.#direct ? this.#handle : this.#file;
      try {
        done += (await handle.write(this.#memory, start + done, length - done, position + done)).bytesWritten;
      } catch (error) {
        // Some file systems take the flag and refuse every write.
        if (!this.#direct || (error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
        this.#direct = false;
      }
    }
  }
}
