// Signals that end an operation: when the caller aborts it, or when its deadline passes.
import { Code, ConexionesError } from "./errors.js";

/** The longest delay that setTimeout takes, 24 days. Longer ones are treated as no limit. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * One signal for an operation: it is aborted by the caller's signal, and when `deadlineMs` have passed. Close the scope
 * when the operation ends.
 */
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

  /** Ends the operation, for a reason of its own. */
  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#follow);
  }
}

/**
 * The result of `promise`; throws the signal's reason as soon as it is aborted. Unlike Promise.race, this leaves no
 * listener on the signal behind.
 */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => undefined);
  signal.throwIfAborted();
  return await new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
