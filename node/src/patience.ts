// How long to go on trying: while there is progress, for ever; without it, so many milliseconds.
import { setTimeout as sleep } from "node:timers/promises";

import { Code, ConexionesError, isPassing } from "./errors.js";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;
/** What setTimeout takes: 24 days. More is for ever. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class Patience {
  readonly #patienceMs: number;
  readonly #signal: AbortSignal;
  #attempts = 0;
  /** Of the first failure since there was progress. */
  #since: number | undefined;

  /** `since`, for an operation that has its time from the beginning on, failed or not. */
  constructor(patienceMs: number, signal: AbortSignal, since?: number) {
    this.#patienceMs = patienceMs;
    this.#signal = signal;
    this.#since = since;
  }

  /** The time runs anew from here. */
  progress(): void {
    this.#attempts = 0;
    this.#since = undefined;
  }

  /**
   * Waits before another attempt: twice as long each time, with jitter so that a thousand clients of a server
   * that restarted do not come back as one, and as long as the server asks. Throws `error` where to try
   * again cannot help, or the patience is at its end.
   */
  async after(error: unknown): Promise<void> {
    this.#signal.throwIfAborted();
    if (!(error instanceof ConexionesError) || !isPassing(error)) throw error;
    this.#since ??= Date.now();
    const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts) * (0.5 + Math.random() / 2);
    const wait = Math.max(delay, error.retryAfterMs ?? 0);
    if (Date.now() - this.#since + wait > this.#patienceMs) throw error;
    this.#attempts += 1;
    try {
      await sleep(wait, undefined, { signal: this.#signal });
    } catch {
      this.#signal.throwIfAborted();
    }
  }
}

/** Runs `attempt` until it succeeds or `patience` is at its end. Only for what may be done twice. */
export async function persistently<T>(patience: Patience, attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      await patience.after(error);
    }
  }
}

/** One signal for an operation: the caller's, and the end of its time. Close it with the operation. */
export class Scope {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #follow = () => this.#controller.abort(this.#outer?.reason);

  constructor(outer: AbortSignal | undefined, deadlineMs: number | undefined) {
    outer?.throwIfAborted();
    this.#outer = outer;
    outer?.addEventListener("abort", this.#follow, { once: true });
    if (deadlineMs !== undefined && deadlineMs <= LONGEST_TIMER_MS) {
      const message = `The operation was not done within ${deadlineMs} ms.`;
      const late = new ConexionesError({ code: Code.DEADLINE_EXCEEDED, reason: "DEADLINE_EXCEEDED", message });
      this.#timer = setTimeout(() => this.#controller.abort(late), deadlineMs);
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#follow);
  }
}

/** `promise`, or the reason of `signal` as soon as it is aborted. Unlike Promise.race keeps nothing alive. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => undefined);
  signal.throwIfAborted();
  return await new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
