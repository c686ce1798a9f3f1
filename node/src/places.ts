// What a path names. Downloads replace regular files and write to everything else; only a regular file can be read again.
import { createHash } from "node:crypto";
import { lstat, readlink, realpath, stat } from "node:fs/promises";
import type { Stats } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

export type PlaceKind = "missing" | "file" | "folder" | "descriptor" | "fifo" | "socket" | "device";

export interface Place {
  kind: PlaceKind;
  /** The path after all symbolic links. */
  path: string;
  /** The permissions of a file. */
  mode?: number;
  /** The number of a descriptor of this process. */
  descriptor?: number;
}

/** The longest name of a file on all usual file systems, and the longest that the server takes, in UTF-8. */
export const NAME_BYTES = 255;
/** As many symbolic links as Linux follows. */
const MOST_LINKS = 40;

/**
 * Follows symbolic links, also those to files that are not there yet. Throws ENOENT if the folder is missing.
 * `/dev/stdin`, `/dev/fd/63` and the like are descriptors of this process, whatever these are open on: opening such a
 * path anew would begin a file at its start, and replacing it would not reach who waits at its other end.
 */
export async function placeOf(path: string): Promise<Place> {
  const wantsFolder = /[/\\]$/.test(path);
  for (let links = 0; links <= MOST_LINKS; links++) {
    const folder = await realpath(dirname(path));
    path = join(folder, basename(path));
    const process_ = /^\/proc\/(\d+)(?:\/task\/\d+)?\/fd$/.exec(folder)?.[1];
    if (process_ === String(process.pid)) return { kind: "descriptor", path, descriptor: Number(basename(path)) };
    const stats = await unlessMissing(lstat(path));
    if (!stats) return { kind: wantsFolder ? "folder" : "missing", path };
    if (!stats.isSymbolicLink()) return placed(path, stats, wantsFolder);
    // The descriptors of other processes are links to names such as pipe:[123], which no path leads to.
    const target = process_ === undefined ? undefined : await stat(path);
    if (target && !target.isFile()) return placed(path, target, wantsFolder);
    path = resolve(folder, await readlink(path));
  }
  throw Object.assign(new Error(`ELOOP: too many symbolic links, '${path}'`), { code: "ELOOP", path });
}

/** Only what is a folder can be meant by a path that ends in a slash. */
function placed(path: string, stats: Stats, wantsFolder: boolean): Place {
  const kind = wantsFolder ? "folder" : kindOf(stats);
  return { kind, path, mode: stats.mode & 0o777 };
}

function kindOf(stats: Stats): PlaceKind {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "folder";
  if (stats.isFIFO()) return "fifo";
  return stats.isSocket() ? "socket" : "device";
}

/** The path of another file in the same folder, named by this one. A long name is cut, and made unique by a hash. */
export function beside(path: string, suffix: string): string {
  const name = basename(path);
  if (Buffer.byteLength(name + suffix) <= NAME_BYTES) return path + suffix;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 16);
  return join(dirname(path), `${cut(name, NAME_BYTES - hash.length - suffix.length - 1)}.${hash}${suffix}`);
}

/** The longest beginning of a text that has at most so many bytes in UTF-8. */
export function cut(text: string, most: number): string {
  const bytes = Buffer.from(text);
  // A character that is cut in two is left out.
  return bytes.length <= most ? text : bytes.subarray(0, most).toString().replace(/\uFFFD+$/, "");
}

/** The error for a path that names a folder where a file is needed. */
export function isFolder(path: string): TypeError {
  return Object.assign(new TypeError(`${path || "The path"} is a folder: name a file.`), { code: "EISDIR", path });
}

async function unlessMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
