// Reads a file in pieces, with their checksums. Only for workers: hashing a piece takes a while.
import { crc32c } from "./crc32c";
import { Sha256 } from "./sha256";

/** The file cannot be read, or has changed, so a retry does not help. */
export class FileFailure extends Error {}

/** The state of an unfinished SHA-256, with which a later page need not read again the bytes that were sent. */
export interface Saved {
  state: Int32Array<ArrayBuffer>;
  size: number;
}

export interface Piece {
  data: Uint8Array<ArrayBuffer>;
  crc32c: number;
  saved: Saved | undefined;
}

const READ_BYTES = 4 << 20;

/** Bytes that are read again are not hashed again. Its requests are processed in order, as the SHA-256 needs it. */
export class Reader {
  readonly #file: Blob;
  readonly #sha: Sha256;
  readonly #stop: Promise<never>;
  #turn: Promise<unknown> = Promise.resolve();

  /** When the signal is aborted, all that is asked of it rejects, even if the file's disk does not answer. */
  constructor(file: Blob, saved: Saved | undefined, signal: AbortSignal) {
    this.#file = file;
    this.#sha = saved ? Sha256.load(saved.state, saved.size) : new Sha256();
    this.#stop = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    this.#stop.catch(() => undefined);
  }

  async read(offset: number, size: number): Promise<Piece> {
    return await this.#next(async () => {
      await this.#catchUp(offset);
      const data = await this.#bytes(offset, size);
      if (this.#sha.size < offset + size) this.#sha.update(data.subarray(this.#sha.size - offset));
      const state = this.#sha.save();
      return { data, crc32c: crc32c(data), saved: state && { state, size: this.#sha.size } };
    });
  }

  /** The SHA-256 of the first `size` bytes, which have to be all of them. */
  async sha256(size: number): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#next(async () => {
      await this.#catchUp(size);
      return this.#sha.digest();
    });
  }

  async #next<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => Promise.race([work(), this.#stop]));
    this.#turn = turn.catch(() => undefined);
    return await turn;
  }

  /** Reads and hashes the bytes before the offset that were not hashed yet. */
  async #catchUp(offset: number): Promise<void> {
    while (this.#sha.size < offset) {
      const size = Math.min(READ_BYTES, offset - this.#sha.size);
      this.#sha.update(await Promise.race([this.#bytes(this.#sha.size, size), this.#stop]));
    }
  }

  async #bytes(offset: number, size: number): Promise<Uint8Array<ArrayBuffer>> {
    let data: Uint8Array<ArrayBuffer>;
    try {
      data = new Uint8Array(await this.#file.slice(offset, offset + size).arrayBuffer());
    } catch (error) {
      throw new FileFailure(String(error));
    }
    if (data.length !== size) throw new FileFailure("The file is shorter than it was.");
    return data;
  }
}
