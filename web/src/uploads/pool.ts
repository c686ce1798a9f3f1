// The workers that send files, made when first needed and then used again.
import { delayAfter, pause } from "../calls";
import type { Remembered } from "./store";
import type { Listener, Outcome } from "./transfer";
import type { Order, Report } from "./upload.worker";

/** The address of the worker's script, defined by the build. */
declare const UPLOAD_WORKER: string;

/** How often a transfer begins again after its worker has failed. */
const MOST_CRASHES = 3;

/** How many transfers a worker has at a time: while one is being sent, the next is read. */
const TRANSFERS = 2;

export class Pool {
  readonly #size: number;
  /** The workers, and how many transfers each has. */
  readonly #workers = new Map<Worker, number>();
  readonly #waiting: (() => void)[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  /** Sends a file in a worker, as soon as one has room; `trace` is that of its calls. Never rejects. After an abort nothing more is heard of it. */
  async send(remembered: Remembered, file: File, trace: string, signal: AbortSignal, listener: Listener): Promise<Outcome> {
    for (let crashes = 0, attempts = 0; !signal.aborted; attempts++) {
      const worker = await this.#take();
      if (signal.aborted) return this.#give(worker), { state: "stopped" };
      const found = await run(worker, { remembered, file, trace }, signal, listener);
      if (!(found instanceof Event)) return this.#give(worker), found;
      this.#discard(worker);
      // Without a message, the script of the worker could not be loaded.
      const message = found instanceof ErrorEvent ? found.message : "";
      if (message && ++crashes === MOST_CRASHES) return { state: "refused", reason: "", message, callId: "" };
      listener.phase("unreachable");
      await pause(delayAfter(attempts), signal).catch(() => undefined);
    }
    return { state: "stopped" };
  }

  async #take(): Promise<Worker> {
    for (;;) {
      const worker = this.#free();
      if (worker) {
        this.#workers.set(worker, (this.#workers.get(worker) ?? 0) + 1);
        return worker;
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** An idle worker, else a new one, else one that has room beside what it does. */
  #free(): Worker | undefined {
    const [least] = [...this.#workers].sort(([, one], [, other]) => one - other);
    if (least?.[1] === 0) return least[0];
    if (this.#workers.size < this.#size) return this.#make();
    return least && least[1] < TRANSFERS ? least[0] : undefined;
  }

  #make(): Worker {
    const worker = new Worker(UPLOAD_WORKER, { type: "module" });
    // Those who use it hear of the error, too.
    worker.addEventListener("error", () => this.#discard(worker));
    this.#workers.set(worker, 0);
    return worker;
  }

  #give(worker: Worker): void {
    const transfers = this.#workers.get(worker);
    if (transfers !== undefined) this.#workers.set(worker, transfers - 1);
    this.#waiting.shift()?.();
  }

  #discard(worker: Worker): void {
    worker.terminate();
    this.#workers.delete(worker);
    this.#waiting.shift()?.();
  }
}

let keys = 0;

/** Its outcome, or the event of an error of the worker. */
async function run(
  worker: Worker,
  what: { remembered: Remembered; file: File; trace: string },
  signal: AbortSignal,
  listener: Listener,
): Promise<Outcome | Event> {
  const over = new AbortController();
  const key = ++keys;
  const stop: Order = { kind: "stop", key };
  const send: Order = { kind: "send", key, ...what };
  signal.addEventListener("abort", () => worker.postMessage(stop), { signal: over.signal });
  const found = await new Promise<Outcome | Event>((resolve) => {
    const hear = ({ data }: MessageEvent<Report>) => {
      if (data.key !== key) return;
      if (data.kind === "over") resolve(data.outcome);
      else if (signal.aborted) return;
      else if (data.kind === "phase") listener.phase(data.phase);
      else listener.progress(data);
    };
    worker.addEventListener("message", hear, { signal: over.signal });
    worker.addEventListener("error", resolve, { signal: over.signal });
    worker.postMessage(send);
  });
  over.abort();
  return found;
}
