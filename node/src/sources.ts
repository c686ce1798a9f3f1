// Where the bytes of an upload come from. All sources are read by offset.
import { Blob } from "node:buffer";
import fs from "node:fs";
import { lstat, open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { types } from "node:util";

import { cut, isFolder, NAME_BYTES, placeOf } from "./places.js";
import { readerOf } from "./special.js";
import { StreamSource } from "./readables.js";

/**
 * The path of a file, a file:, http:, https: or data: URL (as a string, too), bytes, a Blob or File, or a stream of bytes
 * (a Readable, a web stream, an async generator or another iterable). A stream is read once, and is destroyed if the
 * upload fails. So is what a path that is no regular file holds.
 */
export type UploadSource =
  | string
  | URL
  | Uint8Array
  | ArrayBuffer
  | AnyBlob
  | Readable
  | AnyReadableStream
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>;

/** A Blob or File, as the types of Node.js and those of browsers, which differ, describe them. */
export interface AnyBlob {
  readonly size: number;
  slice(start?: number, end?: number): { arrayBuffer(): Promise<ArrayBuffer> };
}

/** A web stream of bytes, likewise. */
export interface AnyReadableStream {
  readonly locked: boolean;
  getReader(): { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> };
}

export interface SourceFile {
  path: string;
  /** The modification time, in nanoseconds since 1970. */
  mtimeNs: bigint;
}

/** The methods must not be called concurrently. */
export interface Source {
  /** The size in bytes; undefined if it is not known beforehand. */
  readonly size: number | undefined;
  /** The name of the file; "" if there is none. */
  readonly name: string;
  /** Set if the source is a file, which another process can read again. */
  readonly file?: SourceFile;
  /** Set if a path names something that another process cannot read again: a sentence that says so. */
  readonly unresumable?: string | undefined;
  /** Whether all of it can still be read, from its first byte on. */
  readonly again: boolean;
  /** `length` bytes from `offset`, fewer only at the end. Bytes that were released cannot be read. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Promises that bytes before `offset` will not be read again. */
  release(offset: number): void;
  close(): Promise<void>;
}

export async function openSource(source: UploadSource, signal?: AbortSignal): Promise<Source> {
  if (source instanceof URL) return await openUrl(source, signal);
  if (typeof source === "string") {
    return isUrl(source) ? await openUrl(new URL(source), signal) : await openPath(source, signal);
  }
  if (types.isUint8Array(source)) return new BytesSource(source);
  if (types.isAnyArrayBuffer(source)) return new BytesSource(new Uint8Array(source));
  if (source instanceof Blob) return new BlobSource(source);
  if (isIterable(source)) return new StreamSource(source);
  throw new TypeError("The source is a path, a URL, bytes, a Blob or a stream of bytes.");
}

/** Whether this is one of the objects that an upload can be of. */
export function isSource(source: object): boolean {
  return source instanceof URL || source instanceof Blob || types.isUint8Array(source) || types.isAnyArrayBuffer(source) || isIterable(source);
}

function isUrl(source: string): boolean {
  return /^(?:[a-z][a-z0-9+.-]*:\/\/|data:)/i.test(source);
}

/** All bytes of a small file, and its name for the server. */
export interface SmallFile {
  bytes: Uint8Array;
  name: string;
}

/**
 * All bytes of a path that names a regular file of 1 to `most()` bytes itself; undefined of anything else, also of what
 * fails or changes meanwhile: openSource() says what is wrong. It uses callbacks, since file handles take twice the
 * processor time.
 */
export async function readSmallFile(path: string, most: () => Promise<number>): Promise<SmallFile | undefined> {
  if (isUrl(path)) return undefined;
  const size = await sizeOf(path).catch(() => 0); // thrown for a path that cannot be one
  if (size === 0 || size > (await most())) return undefined;
  const bytes = await contentOf(path, size);
  return bytes && { bytes, name: fileName(basename(path)) };
}

/** The size of a regular file that is no link; 0 of anything else. */
function sizeOf(path: string): Promise<number> {
  return new Promise((resolve) => {
    fs.lstat(path, (missing, found) => resolve(!missing && found.isFile() ? found.size : 0));
  });
}

/** Undefined if there are not `size` bytes, or if they cannot be read. */
function contentOf(path: string, size: number): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    // It does not wait for a writer, in case there is a pipe by now.
    fs.open(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK, (refused, file) => {
      if (refused) {
        resolve(undefined);
        return;
      }
      // One byte more, to see whether there is more by now.
      fs.read(file, Buffer.allocUnsafeSlow(size + 1), 0, size + 1, 0, (failed, count, bytes) => {
        fs.close(file, () => undefined);
        resolve(failed || count !== size ? undefined : bytes.subarray(0, size));
      });
    });
  });
}

function isIterable(source: unknown): source is AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  if (typeof source !== "object" || source === null || ArrayBuffer.isView(source)) return false;
  return Symbol.asyncIterator in source || Symbol.iterator in source || "getReader" in source;
}

async function openUrl(url: URL, signal?: AbortSignal): Promise<Source> {
  if (url.protocol === "file:") return await openPath(fileURLToPath(url), signal);
  if (!/^(?:https?|data):$/.test(url.protocol)) {
    throw new TypeError(`No image can be read from a ${url.protocol} URL: fetch it, and pass its bytes or a stream of them.`);
  }
  const response = await fetched(url, signal);
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw new Error(`${url.host} answered ${response.status} ${response.statusText}`.trimEnd() + ".");
  }
  const length = response.headers.get("content-length");
  // If the content is compressed, this is the length of the compressed bytes, which fetch() decompresses.
  const size = length === null || response.headers.has("content-encoding") ? undefined : Number(length);
  return new StreamSource(response.body as AsyncIterable<Uint8Array>, { size });
}

async function fetched(url: URL, signal?: AbortSignal): Promise<Response> {
  if (url.username || url.password) {
    throw new TypeError("fetch() takes no URL with a user or a password: fetch it with a header, and pass the response's body.");
  }
  try {
    return await fetch(url, { signal: signal ?? null });
  } catch (error) {
    signal?.throwIfAborted();
    // fetch() only says that it failed; its cause says why.
    const { cause } = error as Error;
    const why = cause instanceof Error ? cause.message || cause.name : String(error);
    // What follows the path may be a signature that is nobody else's to know.
    const what = url.protocol === "data:" ? "The data: URL" : url.origin + url.pathname;
    throw new Error(`${what} could not be fetched: ${why}`, { cause: error });
  }
}

async function openPath(path: string, signal?: AbortSignal): Promise<Source> {
  // Most paths name a file itself, which needs no closer look. No link is one, and no descriptor of a process.
  const found = await lstat(path).catch(() => undefined);
  if (found?.isFile()) return await FileSource.open(path);
  const place = await placeOf(path);
  if (place.kind === "folder") throw isFolder(path);
  if (place.kind === "file" || place.kind === "missing") return await FileSource.open(path);
  const unresumable = `${path} can be read only once, so another process cannot resume its upload.`;
  return new StreamSource((await readerOf(place, signal)) as AsyncIterable<Uint8Array>, { unresumable });
}

/** A name that the server takes: at most 255 bytes, and without control characters. */
function fileName(name: string): string {
  const printable = name.replace(/^.*[/\\]/s, "").replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, "_");
  return cut(printable, NAME_BYTES);
}

class BytesSource implements Source {
  readonly again = true;
  readonly name = "";
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

/** A Blob, which can be read again. A File has a name. */
class BlobSource implements Source {
  readonly again = true;
  readonly size: number;
  readonly name: string;
  readonly #blob: AnyBlob;

  constructor(blob: AnyBlob) {
    this.#blob = blob;
    this.size = blob.size;
    this.name = "name" in blob && typeof blob.name === "string" ? fileName(blob.name) : "";
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return new Uint8Array(await this.#blob.slice(offset, offset + length).arrayBuffer());
  }

  release(): void {}

  async close(): Promise<void> {}
}

/** A regular file. It has to be at its end what it was when it was opened: otherwise what was read has never been in it. */
class FileSource implements Source {
  readonly again = true;
  readonly size: number;
  readonly name: string;
  readonly file: SourceFile;
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle, path: string, size: number, mtimeNs: bigint) {
    this.#handle = handle;
    this.file = { path, mtimeNs };
    this.name = fileName(basename(path));
    this.size = size;
  }

  static async open(path: string): Promise<Source> {
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
    if (offset + wanted >= this.size) await this.#check();
    return bytes;
  }

  async #check(): Promise<void> {
    const { size, mtimeNs } = await this.#handle.stat({ bigint: true });
    if (Number(size) === this.size && mtimeNs === this.file.mtimeNs) return;
    throw new Error(`${this.file.path} was written to while it was read.`);
  }

  release(): void {}

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
