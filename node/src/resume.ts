// What another process needs in order to go on with an upload: the request_id, under which the server gives the
// same upload again. Kept beside the file, or in a folder, and written before the server is asked. The Python SDK
// keeps the same under the same name: either can go on with what the other began.
import { createHash, randomUUID } from "node:crypto";
import { open, readFile, rename, rm } from "node:fs/promises";
import { basename, join, resolve } from "node:path";

import type { SourceFile } from "./sources.js";

const SUFFIX = ".conexiones-upload";

/** The upload of a file as it was then: another size or time of change, and it is another upload. */
interface Begun {
  request_id: string;
  address: string;
  user: string;
  path: string;
  size: number;
  /** More digits than a number has: in the file it stands as an integer. */
  mtime_ns: string;
}

export class ResumeFile {
  readonly path: string;
  readonly #facts: Omit<Begun, "request_id">;

  /** `folder` as in `UploadOptions.resume`: true is the folder of the file. */
  constructor(file: SourceFile, folder: true | string, facts: { address: string; user: string; size: number }) {
    const path = resolve(file.path);
    this.#facts = { ...facts, path, mtime_ns: String(file.mtimeNs) };
    // In a folder of their own, files of the same name from different folders must not meet.
    const place = createHash("sha256").update(path).digest("hex").slice(0, 12);
    this.path = folder === true ? path + SUFFIX : join(folder, `${basename(path)}.${place}${SUFFIX}`);
  }

  /** The request_id of an upload of the very same file that another process began, or a new one. */
  async requestId(): Promise<string> {
    const begun = await this.#read();
    const same = Object.entries(this.#facts).every(([name, fact]) => begun?.[name as keyof Begun] === fact);
    return begun?.request_id && same ? begun.request_id : await this.renew();
  }

  /** Begins anew: the upload of before cannot go on. */
  async renew(): Promise<string> {
    const begun: Begun = { request_id: randomUUID(), ...this.#facts };
    const text = JSON.stringify(begun).replace(/"mtime_ns":"(\d+)"/, '"mtime_ns":$1');
    const draft = `${this.path}.${process.pid}`;
    const handle = await open(draft, "w");
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, this.path);
    return begun.request_id;
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
  }

  async #read(): Promise<Partial<Begun> | undefined> {
    try {
      const text = await readFile(this.path, "utf8");
      return JSON.parse(text.replace(/"mtime_ns": *(\d+)/, '"mtime_ns":"$1"')) as Partial<Begun>;
    } catch {
      // None, or not ours: to begin anew is always right.
      return undefined;
    }
  }
}
