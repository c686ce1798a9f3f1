// What a download is written to: memory, a stream, or what a path names. Regular files are replaced whole, all else that
// a path can name is written to.
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import type { Stats } from "node:fs";
import { lstat, open, rename, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import type { Writable } from "node:stream";
import type { WritableStream } from "node:stream/web";
import { fileURLToPath } from "node:url";

import { download } from "./download.js";
import type { Received, Settings } from "./download.js";
import { beside, isFolder, placeOf } from "./places.js";
import type { Place } from "./places.js";
import { renditionName } from "./renditions.js";
import { notResumable } from "./resume.js";
import type { Rpc } from "./rpc.js";
import { BytesSink, FileSink } from "./sinks.js";
import type { Bytes } from "./sinks.js";
import { PlaceSink, WebSink, WritableSink } from "./writables.js";

/**
 * A path, a file: URL, a Writable or a web stream. Symbolic links are followed. A regular file is replaced when the
 * download is complete, checked and durable; a device, a FIFO or a socket is written to. A stream is ended.
 */
export type DownloadTarget = string | URL | Writable | WritableStream<Uint8Array> | AnyWritableStream;

/** A web stream of bytes, as the types of browsers describe some of them: their bytes are in an ArrayBuffer, as these are. */
export interface AnyWritableStream {
  readonly locked: boolean;
  getWriter(): { write(chunk: ArrayBuffer): Promise<void> };
}

/** Codes with which some systems refuse to open a folder or to sync it. */
const NO_FOLDER_SYNC = new Set(["EACCES", "EPERM", "EISDIR", "EINVAL"]);

export function isTarget(value: unknown): value is DownloadTarget {
  if (typeof value === "string" || value instanceof URL) return true;
  return typeof value === "object" && value !== null && (isWritable(value) || isWebStream(value));
}

/** Throws TypeError for what is neither a target nor options, such as a stream that can only be read. */
export function checkNoTarget(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  const signs = ["pipe", "getReader", "fd", "then", "arrayBuffer", "byteLength", Symbol.iterator, Symbol.asyncIterator];
  if (signs.some((sign) => sign in value)) {
    throw new TypeError("The target is a path, a file: URL, a Writable or a WritableStream.");
  }
}

export async function downloadInto(rpc: Rpc, id: string, target: DownloadTarget, options: Settings): Promise<Received> {
  if (typeof target === "string" || target instanceof URL) return await downloadPath(rpc, id, pathOf(target), options);
  if (options.resume) {
    const error = new TypeError("Only into a file can a download be resumed.");
    refuse(target, error);
    throw error;
  }
  return await download(rpc, id, sinkOf(target), options);
}

function sinkOf(target: Exclude<DownloadTarget, string | URL>): WebSink | WritableSink {
  return isWebStream(target) ? new WebSink(target) : new WritableSink(target as Writable);
}

/** Ends a stream into which nothing is downloaded, as after every other failure. */
export function refuse(target: DownloadTarget, error: unknown): void {
  if (typeof target === "string" || target instanceof URL || (isWebStream(target) && target.locked)) return;
  const sink = sinkOf(target);
  sink.watch(() => undefined);
  sink.fail(error);
}

/** Downloads into memory. */
export async function downloadBytes(rpc: Rpc, id: string, options: Settings): Promise<Bytes> {
  if (options.resume) throw new TypeError("Only into a file can a download be resumed.");
  const sink = new BytesSink();
  await download(rpc, id, sink, options);
  return sink.bytes();
}

async function downloadPath(rpc: Rpc, id: string, path: string, options: Settings): Promise<Received> {
  options.signal?.throwIfAborted();
  const place = await placeOf(path);
  if (place.kind === "folder") throw isFolder(path);
  if (place.kind === "file" || place.kind === "missing") return await downloadFile(rpc, id, place, options);
  if (options.resume) notResumable(`${path} is no regular file, so another process cannot resume the download.`);
  return await download(rpc, id, new PlaceSink(place), options);
}

/**
 * Downloads into a part file beside the file, which then takes its name and its permissions. If the download ends early,
 * what has come is in a part file whose name contains the image's id, the rendition and the range, so that only the same
 * download ever resumes it. Without `resume`, the part file has a name of its own until then: several downloads to one
 * path do not meet.
 */
async function downloadFile(rpc: Rpc, id: string, { path, mode }: Place, options: Settings): Promise<Received> {
  const { offset = 0, limit = 0, resume = false, rendition } = options;
  // The id becomes part of a name. What is no id brings no bytes, which would be kept under that name.
  if (resume && !/^[0-9a-zA-Z-]+$/.test(id)) throw new TypeError(`${JSON.stringify(id)} is no id of an image.`);
  const range = offset || limit ? `.${offset}+${limit}` : "";
  const form = rendition ? `.${renditionName(rendition)}` : "";
  const kept = beside(path, `.${id}${form}${range}.part`);
  const part = resume ? kept : beside(path, `.${randomUUID()}.part`);
  const handle = await openPart(part, resume, path);
  let received: Received;
  let file: Stats | undefined;
  try {
    try {
      const sink = await FileSink.over(handle);
      try {
        received = await download(rpc, id, sink, options);
      } catch (error) {
        await sink.settle().catch(() => undefined); // what has come is kept
        throw error;
      }
      await sink.settle();
      if (mode !== undefined) await handle.chmod(mode);
      await handle.sync();
    } finally {
      file = await handle.stat();
      await handle.close();
    }
    if (resume && !(await isStill(part, file))) throw replaced(path);
    await rename(part, path).catch((error: unknown) => {
      throw resume && (error as NodeJS.ErrnoException).code === "ENOENT" ? replaced(path) : error;
    });
  } catch (error) {
    // An empty part file cannot be resumed.
    if (!file?.size) await rm(part, { force: true });
    else if (!resume) await keep(part, kept, file.size);
    throw named(error, path);
  }
  await syncFolder(dirname(path));
  return received;
}

/** Gives a part file the name under which it is resumed, unless more is there already. */
async function keep(part: string, kept: string, size: number): Promise<void> {
  const before = await lstat(kept).catch(() => undefined);
  if (before && (!before.isFile() || before.size >= size)) await rm(part, { force: true });
  else await rename(part, kept);
}

/** The errors of an open file, such as ENOSPC, do not say which file it is. */
function named(error: unknown, path: string): unknown {
  if (!(error instanceof Error)) return error;
  const { code, errno, path: said } = error as NodeJS.ErrnoException;
  if (code === undefined || errno === undefined || said !== undefined) return error;
  return Object.assign(new Error(`${path} cannot be written: ${code}.`, { cause: error }), { code, errno, path });
}

function replaced(path: string): Error {
  return new Error(`Another download to ${path} replaced its part file.`);
}

/** Whether a path names that file. */
async function isStill(path: string, { dev, ino }: Stats): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  return found?.dev === dev && found.ino === ino;
}

/** Throws the error of the part file as one of the file that the caller named. */
async function openPart(part: string, resume: boolean, path: string): Promise<FileHandle> {
  // In a folder that others write to, a link under the known name of a part file could lead anywhere.
  const flags = constants.O_RDWR | constants.O_CREAT | (resume ? constants.O_NOFOLLOW : constants.O_EXCL);
  try {
    return await open(part, flags);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    throw Object.assign(new Error(`${path} cannot be written: ${code} in its folder.`, { cause: error }), { code, path });
  }
}

async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (error) {
    if (!NO_FOLDER_SYNC.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

function pathOf(target: string | URL): string {
  const scheme = typeof target === "string" ? /^[a-z][a-z0-9+.-]+:(?=\/\/)/i.exec(target)?.[0] : target.protocol;
  if (scheme === undefined) return target as string;
  if (scheme.toLowerCase() === "file:") return fileURLToPath(target);
  throw new TypeError(`Nothing can be written to a ${scheme} URL: download into memory, and send that.`);
}

function isWritable(value: object): value is Writable {
  return "write" in value && "end" in value && "on" in value;
}

function isWebStream(value: object): value is WritableStream<Uint8Array> {
  return "getWriter" in value;
}
