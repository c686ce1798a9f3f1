// Where an upload's bytes come from. All sources are read alike, by offset; those that cannot go back keep what
// the server has not acknowledged, and no more.
import { open, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Readable } from "node:stream";

/**
 * The path of a file, a file:, http: or https: URL, bytes, or a stream of bytes: a Readable, a web stream, an
 * async generator. A stream is read once, and destroyed when the upload fails.
 */
export type UploadSource = string | URL | Uint8Array | Readable | AsyncIterable<Uint8Array>;

export interface SourceFile {
  path: string;
  /** When its content was changed last: nanoseconds since 1970. */
  mtimeNs: bigint;
}

/** Read by one reader at a time. */
export interface Source {
  /** Bytes in all; undefined where that is not known beforehand. */
  readonly size: number | undefined;
  /** The file that it is, where it is one: it can be read again by another process. */
  readonly file?: SourceFile;
  /** `length` bytes from `offset`; fewer only at the end. An offset behind the released one is an error. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Bytes before `offset` will not be read again. */
  release(offset: number): void;
  close(): Promise<void>;
}

const BLOCK_BYTES = 64 << 10;

export async function openSource(source: UploadSource, signal?: AbortSignal): Promise<Source> {
  if (source instanceof Uint8Array) return new BytesSource(source);
  if (typeof source === "string") return await FileSource.open(source);
  if (source instanceof URL) {
    if (source.protocol === "file:") return await FileSource.open(fileURLToPath(source));
    return await openHttp(source, signal);
  }
  if (Symbol.asyncIterator in source) return new StreamSource(source);
  throw new TypeError("The source is a path, a URL, bytes or an async iterable of bytes.");
}

async function openHttp(url: URL, signal?: AbortSignal): Promise<Source> {
  if (!/^https?:$/.test(url.protocol)) throw new TypeError(`No image can be read from a ${url.protocol} URL.`);
  const response = await fetch(url, { signal: signal ?? null });
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw new Error(`${url.host} answered ${response.status} ${response.statusText}`.trimEnd() + ".");
  }
  const length = response.headers.get("content-length");
  // Of compressed content, it is the length of something else.
  const size = length === null || response.headers.has("content-encoding") ? undefined : Number(length);
  return new StreamSource(response.body as AsyncIterable<Uint8Array>, size);
}

class BytesSource implements Source {
  readonly size: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.size = bytes.length;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.#bytes.subarray(offset, offset + length);
  }

  release(): void {}

  async close(): Promise<void> {}
}

class FileSource implements Source {
  readonly size: number;
  readonly file: SourceFile;
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle, path: string, size: number, mtimeNs: bigint) {
    this.#handle = handle;
    this.file = { path, mtimeNs };
    this.size = size;
  }

  static async open(path: string): Promise<Source> {
    // A pipe has no size and no offsets, and to open one waits for its writer.
    if (!(await stat(path)).isFile()) {
      throw new TypeError(`${path} is no regular file: send what it holds as a stream.`);
    }
    const handle = await open(path);
    const { size, mtimeNs } = await handle.stat({ bigint: true });
    return new FileSource(handle, path, Number(size), mtimeNs);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    const bytes = Buffer.allocUnsafeSlow(wanted);
    for (let filled = 0; filled < wanted; ) {
      const { bytesRead } = await this.#handle.read(bytes, filled, wanted - filled, offset + filled);
      if (bytesRead === 0) throw new Error(`${this.file.path} became shorter while it was read.`);
      filled += bytesRead;
    }
    return bytes;
  }

  release(): void {}

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** Keeps the bytes from the released offset to where it was read. */
export class StreamSource implements Source {
  readonly size: number | undefined;
  readonly #iterator: AsyncIterator<unknown, unknown>;
  #kept: Uint8Array[] = [];
  /** The last of `#kept`, while it has room. */
  #open: { block: Buffer; used: number } | undefined;
  /** Where `#kept` begins and ends. */
  #start = 0;
  #end = 0;
  #done = false;
  #pulling: Promise<void> | undefined;

  constructor(stream: AsyncIterable<Uint8Array>, size?: number) {
    this.#iterator = stream[Symbol.asyncIterator]();
    this.size = size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < this.#start) throw new RangeError("The bytes asked for were released.");
    while (!this.#done && this.#end < offset + length) {
      // Shared, so that what a reader that went away has asked for is there for the next one.
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
    // Not waited for: a generator that is inside of a read of its own returns when that is over.
    if (!this.#done) this.#iterator.return?.().catch(() => undefined);
  }

  async #pull(): Promise<void> {
    // Where it throws, `#pulling` stays, and tells every later reader the same.
    const { value, done } = await this.#iterator.next();
    if (done) {
      this.#done = true;
    } else {
      if (!(value instanceof Uint8Array)) throw new TypeError("The stream gives something else than bytes.");
      this.#keep(value);
    }
    this.#pulling = undefined;
  }

  /** Small pieces go together into blocks: a million pieces of a byte are no million buffers. */
  #keep(piece: Uint8Array): void {
    this.#end += piece.length;
    if (piece.length >= BLOCK_BYTES) {
      this.#kept.push(piece);
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
