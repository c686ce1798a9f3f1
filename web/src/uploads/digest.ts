// The client of digest.worker.ts, which reads a file and computes its checksums.
import type { Reply, Request, Saved } from "./digest.worker";

/** The address of the worker, defined by the build. */
declare const DIGEST_WORKER: string;

/** The file cannot be read, or has changed, so a retry does not help. */
export class FileFailure extends Error {}

export interface Piece {
  data: Uint8Array<ArrayBuffer>;
  crc32c: number;
  saved: Saved | undefined;
}

/** Reads one file in a worker of its own. Requests are answered in order. */
export class Digest {
  readonly #worker = new Worker(DIGEST_WORKER, { type: "module" });
  readonly #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void }[] = [];

  constructor(file: Blob, saved: Saved | undefined) {
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      const next = this.#waiting.shift();
      if (data.kind === "failed") next?.reject(new FileFailure(data.message));
      else next?.resolve(data);
    });
    this.#worker.addEventListener("error", (event) => this.#fail(event.message));
    this.#post({ kind: "start", file, saved });
  }

  async read(offset: number, size: number): Promise<Piece> {
    const reply = await this.#ask({ kind: "read", offset, size });
    if (reply.kind !== "read") throw new TypeError("The worker answered something else.");
    return reply;
  }

  async sha256(size: number): Promise<Uint8Array<ArrayBuffer>> {
    const reply = await this.#ask({ kind: "digest", size });
    if (reply.kind !== "digest") throw new TypeError("The worker answered something else.");
    return reply.sha256;
  }

  close(): void {
    this.#worker.terminate();
    this.#fail("closed");
  }

  async #ask(request: Request): Promise<Reply> {
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#post(request);
    });
  }

  #post(request: Request): void {
    this.#worker.postMessage(request);
  }

  #fail(message: string): void {
    for (const { reject } of this.#waiting.splice(0)) reject(new FileFailure(message));
  }
}
