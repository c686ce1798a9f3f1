// All uploads of this window. A few run at a time, and the others wait for their turn.
import { recall } from "./store";
import { MAX_FILES } from "./sources";
import type { Source } from "./sources";
import { newId, Upload } from "./upload";

/** Without TLS a browser opens six connections to a server, and thumbnails and the live feed need some of them. */
const CONCURRENT_UPLOADS = 3;

export class Queue {
  readonly all: Upload[] = [];
  readonly #changed: () => void;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** Adds the uploads that earlier pages left unfinished. */
  async recall(): Promise<void> {
    for (const remembered of await recall()) {
      if (!(await busyElsewhere(remembered.requestId))) this.all.push(new Upload(remembered, undefined, this.#changed));
    }
    this.#changed();
  }

  /** Adds files. A file whose upload was interrupted resumes it. Returns how many were taken, and if any were not. */
  async add(sources: AsyncIterable<Source> | Iterable<Source>): Promise<{ taken: number; tooMany: boolean }> {
    let taken = 0;
    for await (const { file, handle } of sources) {
      if (taken === MAX_FILES) return { taken, tooMany: true };
      taken += 1;
      const interrupted = this.all.find((upload) => upload.state === "interrupted" && upload.isOf(file));
      if (interrupted) interrupted.attach(file);
      else {
        const { name, size, lastModified: modified } = file;
        const facts = { name, size, modified, begun: Date.now(), committed: 0, saved: undefined, handle };
        this.all.push(new Upload({ requestId: newId(), ...facts }, file, this.#changed));
      }
      this.advance();
    }
    this.#changed();
    return { taken, tooMany: false };
  }

  /** Starts as many waiting uploads as may run. */
  advance(): void {
    let free = CONCURRENT_UPLOADS - this.all.filter(({ active }) => active).length;
    for (const upload of this.all) {
      if (free <= 0) return;
      if (upload.state !== "waiting") continue;
      free -= 1;
      void upload.run().finally(() => this.advance());
    }
  }

  remove(upload: Upload): void {
    const at = this.all.indexOf(upload);
    if (at >= 0) this.all.splice(at, 1);
    this.#changed();
  }

  clearEnded(): void {
    this.all.splice(0, this.all.length, ...this.all.filter(({ ended }) => !ended));
    this.#changed();
  }
}

async function busyElsewhere(requestId: string): Promise<boolean> {
  if (!("locks" in navigator)) return false;
  const { held = [] } = await navigator.locks.query();
  return held.some(({ name }) => name === `conexiones.upload.${requestId}`);
}
