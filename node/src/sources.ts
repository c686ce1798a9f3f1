// Where the bytes of an upload come from. All sources are read by offset. Those that can be read only once keep the
// bytes that the server has not acknowledged yet.
import { open, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Readable } from "node:stream";

/**
 * The path of a file, a file:, http: or https: URL, bytes, or a stream of bytes (a Readable, a web stream, an async
 * generator). A stream is read once, and is destroyed if the upload fails.
 */
export type UploadSource = string | URL | Uint8Array | Readable | AsyncIterable<Uint8Array>;

export interface SourceFile {
  path: string;
  /** The modification time, in nanoseconds since 1970. */
  mtimeNs: bigint;
}

/** The methods must not be called concurrently. */
export interface Source {
  /** The size in bytes; undefined if it is not known beforehand. */
  readonly size: number | undefined;
  /** Set if the source is a file, which another process can read again. */
  readonly file?: SourceFile;
  /** Whether all of it can still be read, from its first byte on. */
  readonly again: boolean;
  /** `length` bytes from `offset`, fewer only at the end. Bytes that were released cannot be read. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Promises that bytes before `offset` will not be read again. */
  release(offset: number): void;
  close(): Promise<void>;
}

/** Size of the buffers in which small pieces of a stream are collected. */
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
  // If the content is compressed, this is the length of the compressed bytes, which fetch() decompresses.
  const size = length === null || response.headers.has("content-encoding") ? undefined : Number(length);
  return new StreamSource(response.body as AsyncIterable<Uint8Array>, size);
}

class BytesSource implements Source {
  readonly again = true;
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
  readonly again = true;
  readonly size: number;
  readonly file: SourceFile;
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle, path: string, size: number, mtimeNs: bigint) {
    this.#handle = handle;
    this.file = { path, mtimeNs };
    this.size = size;
  }

  static async open(path: string): Promise<Source> {
    // A pipe has no size and no offsets, and opening one would wait for its writer.
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

/** A source that can be read only once. It keeps its bytes from the released offset on. */
export class StreamSource implements Source {
  readonly size: number | undefined;
  readonly #iterator: AsyncIterator<unknown, unknown>;
  #kept: Uint8Array[] = [];
  /** The block behind the last of `#kept`, while it has room. */
  #open: { block: Buffer; used: number } | undefined;
  /** The offset at which `#kept` begins. */
  #start = 0;
  /** The offset at which `#kept` ends. */
  #end = 0;
  #done = false;
  #pulling: Promise<void> | undefined;

  constructor(stream: AsyncIterable<Uint8Array>, size?: number) {
    this.#iterator = stream[Symbol.asyncIterator]();
    this.size = size;
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
    // Not awaited: a generator that is waiting for data of its own returns only when that has come.
    if (!this.#done) this.#iterator.return?.().catch(() => undefined);
  }

  async #pull(): Promise<void> {
    // If next() throws, `#pulling` stays set, so that every later read fails with the same error.
    const { value, done } = await this.#iterator.next();
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
