// The workers that send files. There are as many as transfers at a time, made when first needed and then used again.
import { delayAfter, pause } from "../calls";
import type { Remembered } from "./store";
import type { Listener, Outcome } from "./transfer";
import type { Order, Report } from "./upload.worker";

/** The address of the worker's script, defined by the build. */
declare const UPLOAD_WORKER: string;

/** How often a transfer begins again after its worker has failed. */
const MOST_CRASHES = 3;

export class Pool {
  readonly #size: number;
  readonly #idle: Worker[] = [];
  readonly #waiting: ((worker: Worker) => void)[] = [];
  #made = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** Sends a file in a worker, as soon as one is free. Never rejects. After an abort nothing more is heard of it. */
  async send(remembered: Remembered, file: File, signal: AbortSignal, listener: Listener): Promise<Outcome> {
    for (let crashes = 0, attempts = 0; !signal.aborted; attempts++) {
      const worker = await this.#take();
      if (signal.aborted) return this.#give(worker), { state: "stopped" };
      const found = await run(worker, { kind: "send", remembered, file }, signal, listener);
      if (!(found instanceof Event)) return this.#give(worker), found;
      this.#discard(worker);
      // Without a message, the script of the worker could not be loaded.
      const message = found instanceof ErrorEvent ? found.message : "";
      if (message && ++crashes === MOST_CRASHES) return { state: "refused", reason: "", message };
      listener.phase("unreachable");
      await pause(delayAfter(attempts), signal).catch(() => undefined);
    }
    return { state: "stopped" };
  }

  async #take(): Promise<Worker> {
    const idle = this.#idle.pop();
    if (idle) return idle;
    if (this.#made === this.#size) return await new Promise((resolve) => this.#waiting.push(resolve));
    this.#made += 1;
    const worker = new Worker(UPLOAD_WORKER, { type: "module" });
    worker.addEventListener("error", () => {
      const at = this.#idle.indexOf(worker);
      if (at < 0) return; // who uses it hears of the error, too
      this.#idle.splice(at, 1);
      this.#discard(worker);
    });
    return worker;
  }

  #give(worker: Worker): void {
    const next = this.#waiting.shift();
    if (next) next(worker);
    else this.#idle.push(worker);
  }

  #discard(worker: Worker): void {
    worker.terminate();
    this.#made -= 1;
    if (this.#waiting.length > 0) void this.#take().then((another) => this.#give(another));
  }
}

/** Its outcome, or the event of an error of the worker. */
async function run(worker: Worker, order: Order, signal: AbortSignal, listener: Listener): Promise<Outcome | Event> {
  const over = new AbortController();
  const stop: Order = { kind: "stop" };
  signal.addEventListener("abort", () => worker.postMessage(stop), { signal: over.signal });
  const found = await new Promise<Outcome | Event>((resolve) => {
    const hear = ({ data }: MessageEvent<Report>) => {
      if (data.kind === "over") resolve(data.outcome);
      else if (signal.aborted) return;
      else if (data.kind === "phase") listener.phase(data.phase);
      else listener.progress(data);
    };
    worker.addEventListener("message", hear, { signal: over.signal });
    worker.addEventListener("error", resolve, { signal: over.signal });
    worker.postMessage(order);
  });
  over.abort();
  return found;
}
