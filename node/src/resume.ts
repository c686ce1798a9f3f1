// The state file of an upload, with which another process can resume it. It holds the request_id, for which the server
// returns the same upload again. It is kept beside the source or in a folder, and written before the upload is created.
// The Python SDK writes the same file under the same name, so either SDK can resume an upload of the other.
import { createHash, randomUUID } from "node:crypto";
import { lstat, open, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

import { beside } from "./places.js";
import type { SourceFile } from "./sources.js";

const SUFFIX = ".conexiones-upload";

/** An upload that was begun, and the file as it was then. If its size or modification time changed, it is another. */
interface Begun {
  request_id: string;
  address: string;
  user: string;
  path: string;
  size: number;
  /** A string, because a number cannot hold all digits exactly. In the file it is written as an integer. */
  mtime_ns: string;
  /** The name of the image. Files of versions that sent no names do not have it. */
  name?: string;
}

/** Tells that something is moved although it cannot be resumed. */
export function notResumable(sentence: string): void {
  process.emitWarning(sentence, { type: "ConexionesWarning", code: "NOT_RESUMABLE" });
}

/** The state file of the upload of a file; `folder` as in `UploadOptions.resume`: true is the folder of the file. */
function stateFile(path: string, folder: true | string): string {
  // In a separate folder, sources of the same name from different folders need different state files.
  const place = createHash("sha256").update(path).digest("hex").slice(0, 12);
  return folder === true ? beside(path, SUFFIX) : beside(join(folder, basename(path)), `.${place}${SUFFIX}`);
}

/** Whether an upload of the file was begun that has not ended, as far as is known here. */
export async function wasBegun(file: SourceFile, folder: true | string): Promise<boolean> {
  return await lstat(stateFile(resolve(file.path), folder)).then(
    () => true,
    () => false,
  );
}

export class ResumeFile {
  readonly path: string;
  readonly #facts: Omit<Begun, "request_id"> & { name: string };

  constructor(file: SourceFile, folder: true | string, facts: { address: string; user: string; size: number; name: string }) {
    const path = resolve(file.path);
    this.#facts = { ...facts, path, mtime_ns: String(file.mtimeNs) };
    this.path = stateFile(path, folder);
  }

  /** The upload of the very same file that another process began, or a new one with that id. */
  async begin(id: string): Promise<{ requestId: string; name: string }> {
    const begun = await this.#read();
    const known = { name: this.#facts.name, ...begun };
    const same = Object.entries(this.#facts).every(([fact, value]) => known[fact as keyof Begun] === value);
    if (!begun?.request_id || !same) return { requestId: await this.renew(id), name: this.#facts.name };
    const { request_id: requestId, name = "" } = begun;
    return { requestId, name };
  }

  /** Records a new request_id, because there is no earlier upload, or none that can be resumed. */
  async renew(id: string = randomUUID()): Promise<string> {
    const begun: Begun = { request_id: id, ...this.#facts };
    const text = JSON.stringify(begun).replace(/"mtime_ns":"(\d+)"/, '"mtime_ns":$1');
    // A new file under a name that nobody can foresee, in case the folder is one that others write to.
    const draft = join(dirname(this.path), `.${randomUUID()}${SUFFIX}`);
    const handle = await open(draft, "wx", 0o600);
    try {
      try {
        await handle.writeFile(text);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(draft, this.path);
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
    return begun.request_id;
  }

  /** If the file cannot be removed, it stays: it is of an upload that has ended, and does no harm. */
  async remove(): Promise<void> {
    await rm(this.path, { force: true }).catch(() => undefined);
  }

  async #read(): Promise<Partial<Begun> | undefined> {
    try {
      const text = await readFile(this.path, "utf8");
      return JSON.parse(text.replace(/"mtime_ns": *(\d+)/, '"mtime_ns":"$1"')) as Partial<Begun>;
    } catch {
      // There is no such file, or it is not ours: a new upload is always right.
      return undefined;
    }
  }
}
