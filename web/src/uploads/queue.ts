// All uploads of this window. A few run at a time, and the others wait for their turn.
import { signedIn } from "../access/session";
import { delayAfter, needsSignIn, pause, problem } from "../calls";
import { uploads as service } from "../rpc";
import { MAX_FILES } from "./sources";
import type { Source } from "./sources";
import { Pool } from "./pool";
import { recall } from "./store";
import type { Expiry } from "./store";
import { ACTIVE, FAILED, SMALL, STOPPED, Upload } from "./upload";
import type { State } from "./upload";

/** Without TLS a browser opens six connections to a server, and thumbnails and the live feed need some of them. */
const CONCURRENT_UPLOADS = 3;
/** Small ones, of which a worker reads the next while it sends another. */
const CONCURRENT_SMALL = 6;
/** After so many milliseconds of taking files the page may do something else. */
const TAKING_MS = 8;

export const UNDER_WAY: readonly State[] = [...ACTIVE, "waiting"];

/** How far all uploads are together, in bytes. Those that were refused or cancelled do not count. */
export interface Total {
  done: number;
  of: number;
  /** Undefined while nothing is being sent. */
  bytesPerSecond: number | undefined;
}

export class Queue {
  /** Each upload is in the set of its state. A set keeps the order in which they came. */
  readonly #sets = new Map<State, Set<Upload>>();
  readonly #pool = new Pool(CONCURRENT_UPLOADS);
  readonly #who: () => string;
  readonly #changed: () => void;
  readonly #note = (upload: Upload, before: State) => {
    if (this.#sets.get(before)?.delete(upload)) this.#of(upload.state).add(upload);
    this.#changed();
  };

  /** `who` is signed in, empty for nobody. */
  constructor(who: () => string, changed: () => void) {
    this.#who = who;
    this.#changed = changed;
  }

  /** The uploads in these states, in the order of the states. */
  *all(states: Iterable<State> = this.#sets.keys()): Generator<Upload> {
    for (const state of states) yield* this.#of(state);
  }

  count(states: Iterable<State> = this.#sets.keys()): number {
    let sum = 0;
    for (const state of states) sum += this.#of(state).size;
    return sum;
  }

  total(): Total {
    const sum: Total = { done: 0, of: 0, bytesPerSecond: undefined };
    for (const upload of this.all()) {
      if (FAILED.includes(upload.state)) continue;
      sum.of += upload.size;
      sum.done += upload.state === "ready" ? upload.size : upload.committed;
      const { bytesPerSecond } = upload.rate;
      if (upload.active && bytesPerSecond) sum.bytesPerSecond = (sum.bytesPerSecond ?? 0) + bytesPerSecond;
    }
    return sum;
  }

  /** Adds the uploads that earlier pages left unfinished. */
  async recall(): Promise<void> {
    for (const remembered of await recall(await expiry(), this.#who())) {
      if (!(await busyElsewhere(remembered.requestId))) this.#add(new Upload(remembered, undefined, this.#note));
    }
    this.#changed();
  }

  /** Adds files. A file whose upload was interrupted resumes it. Returns how many were taken, and if any were not. */
  async add(sources: AsyncIterable<Source> | Iterable<Source>): Promise<{ taken: number; tooMany: boolean }> {
    let taken = 0;
    let since = performance.now();
    for await (const { file, handle } of sources) {
      if (taken === MAX_FILES) return { taken, tooMany: true };
      taken += 1;
      const interrupted = [...this.#of("interrupted")].find((upload) => upload.isOf(file));
      if (interrupted) interrupted.attach(file);
      else this.#add(Upload.of(file, handle, this.#who(), this.#note));
      this.advance();
      if (performance.now() - since < TAKING_MS) continue;
      await new Promise((resolve) => setTimeout(resolve));
      since = performance.now();
    }
    this.#changed();
    return { taken, tooMany: false };
  }

  /** Starts as many waiting uploads as may run. */
  advance(): void {
    for (const upload of [...take(this.#of("waiting"), CONCURRENT_SMALL)]) {
      if (this.count(ACTIVE) >= (upload.size <= SMALL ? CONCURRENT_SMALL : CONCURRENT_UPLOADS)) return;
      void upload.run(this.#pool).finally(() => this.advance());
    }
  }

  pause(upload: Upload): void {
    upload.pause();
    this.advance();
  }

  resume(upload: Upload): void {
    upload.requeue();
    this.advance();
  }

  retry(upload: Upload): void {
    upload.retry();
    this.advance();
  }

  cancel(upload: Upload): void {
    void upload.cancel();
    this.advance();
  }

  remove(upload: Upload): void {
    this.#of(upload.state).delete(upload);
    this.#changed();
  }

  /** Begins again what was refused or cancelled, and lets go on what was paused. */
  retryAll(): void {
    for (const upload of [...this.all([...FAILED, ...STOPPED])]) {
      upload.retry();
      upload.requeue();
    }
    this.advance();
  }

  cancelAll(): void {
    // What waits first, or else it would begin.
    for (const upload of [...this.all(["waiting", ...STOPPED, ...ACTIVE])]) void upload.cancel();
  }

  clearEnded(): void {
    for (const state of ["ready", ...FAILED] as const) this.#of(state).clear();
    this.#changed();
  }

  #add(upload: Upload): void {
    this.#of(upload.state).add(upload);
    this.#changed();
  }

  #of(state: State): Set<Upload> {
    let found = this.#sets.get(state);
    if (!found) this.#sets.set(state, (found = new Set()));
    return found;
  }
}

function* take<T>(all: Iterable<T>, most: number): Generator<T> {
  for (const one of all) {
    yield one;
    if (--most === 0) return;
  }
}

let known: Promise<Expiry> | undefined;

/** How long the server keeps uploads. Asks until the server answers. */
async function expiry(): Promise<Expiry> {
  const milliseconds = (found: { seconds: bigint } | undefined) => 1000 * Number(found?.seconds ?? 0n);
  known ??= (async () => {
    for (let attempts = 0; ; attempts++) {
      try {
        const { idleExpiry, totalExpiry } = await service.getLimits({});
        return { idle: milliseconds(idleExpiry), total: milliseconds(totalExpiry) };
      } catch (error) {
        if (needsSignIn(problem(error))) await signedIn();
        else await pause(delayAfter(attempts), new AbortController().signal);
      }
    }
  })();
  return await known;
}

async function busyElsewhere(requestId: string): Promise<boolean> {
  if (!("locks" in navigator)) return false;
  const { held = [] } = await navigator.locks.query();
  return held.some(({ name }) => name === `conexiones.upload.${requestId}`);
}
