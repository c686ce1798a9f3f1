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
  readonly #follow = (reason: unknown) => this.#controller.abort(reason);

  constructor(outer: AbortSignal | undefined, deadlineMs: number | undefined) {
    outer?.throwIfAborted();
    this.#outer = outer;
    if (outer) follow(outer, this.#follow);
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

  /** Lets another signal end the operation, too, one that is for nothing else. */
  endWith(other: AbortSignal): void {
    other.addEventListener("abort", () => this.abort(other.reason), { once: true });
    if (other.aborted) this.abort(other.reason);
  }

  close(): void {
    clearTimeout(this.#timer);
    if (this.#outer) unfollow(this.#outer, this.#follow);
  }
}

type Follower = (reason: unknown) => void;

/**
 * The operations that follow each signal of the caller, which has one listener for all of them: Node.js warns of more than
 * ten, as a program has that gives one signal to all its calls.
 */
const followed = new WeakMap<AbortSignal, { followers: Set<Follower>; listener: () => void }>();

function follow(signal: AbortSignal, follower: Follower): void {
  const found = followed.get(signal);
  if (found) {
    found.followers.add(follower);
    return;
  }
  const followers = new Set([follower]);
  const listener = () => {
    followed.delete(signal);
    for (const each of followers) each(signal.reason);
  };
  followed.set(signal, { followers, listener });
  signal.addEventListener("abort", listener, { once: true });
}

function unfollow(signal: AbortSignal, follower: Follower): void {
  const found = followed.get(signal);
  if (!found?.followers.delete(follower) || found.followers.size > 0) return;
  followed.delete(signal);
  signal.removeEventListener("abort", found.listener);
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
