// How long to go on trying: while there is progress, for ever; without it, so many milliseconds.
import { setTimeout as sleep } from "node:timers/promises";

import { Code, ConexionesError, isLost, isPassing, makeError } from "./errors.js";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;
/** For how long, and how often at least, a server that never answered is tried: its address may well be wrong. */
const REACH_MS = 10_000;
const REACH_DELAY_MS = 1_000;
/** What setTimeout takes: 24 days. More is for ever. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** How long an operation waits, in milliseconds. */
export interface Times {
  /** For the answer to a single call, and for anything at all on a stream. */
  timeoutMs: number;
  /** For progress, over however many attempts. */
  patienceMs: number;
}

export class Patience {
  readonly #patienceMs: number;
  readonly #signal: AbortSignal;
  readonly #server: { readonly reached: boolean };
  #attempts = 0;
  /** Of the first failure since there was progress. */
  #since: number | undefined;

  /** `since`, for an operation that has its time from the beginning on, failed or not. */
  constructor(server: { readonly reached: boolean }, patienceMs: number, signal: AbortSignal, since?: number) {
    this.#server = server;
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
   * again cannot help (`passing`: that it can is known), and says so when the patience is at its end.
   */
  async after(error: unknown, passing = false): Promise<void> {
    this.#signal.throwIfAborted();
    if (!(error instanceof ConexionesError) || !(passing || isPassing(error))) throw error;
    this.#since ??= Date.now();
    const { reached } = this.#server;
    const spent = Date.now() - this.#since;
    const left = (reached ? this.#patienceMs : Math.min(REACH_MS, this.#patienceMs)) - spent;
    const asked = error.retryAfterMs ?? 0;
    if (left <= 0 || asked > left) throw isLost(error) ? gaveUp(spent, error) : error;
    const longest = reached ? LONGEST_DELAY_MS : REACH_DELAY_MS;
    const delay = Math.min(longest, FIRST_DELAY_MS * 2 ** this.#attempts) * (0.5 + Math.random() / 2);
    // The last attempt is when the time is over, not before.
    const wait = Math.min(Math.max(delay, asked), left);
    this.#attempts += 1;
    try {
      await sleep(wait, undefined, { signal: this.#signal });
    } catch {
      this.#signal.throwIfAborted();
    }
  }
}

function gaveUp(milliseconds: number, cause: ConexionesError): ConexionesError {
  const message = `Gave up after ${milliseconds} ms without progress. The last failure: ${cause.message}`;
  return makeError({ code: Code.UNAVAILABLE, message, cause });
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
