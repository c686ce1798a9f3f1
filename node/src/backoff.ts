// When to retry after a failure, and when to give up: after `patienceMs` without progress, however often it was tried.
import { setTimeout as sleep } from "node:timers/promises";

import { Code, ConexionesError, isLost, isRetryable, makeError, UnreachableError } from "./errors.js";
import { again } from "./traces.js";

/** Length of the pause after the first failure; it doubles with each further failure. */
const FIRST_PAUSE_MS = 100;
/** Upper bound of one pause. */
const LONGEST_PAUSE_MS = 5_000;
/** How long to try a server that never answered. It is short, because such an address may well be wrong. */
const FIRST_ANSWER_MS = 10_000;
/** Upper bound of one pause while the server has never answered. */
const FIRST_ANSWER_PAUSE_MS = 1_000;

/** How long an operation waits, in milliseconds. */
export interface Times {
  /** For the reply to a unary call, and for the next message of a stream. */
  timeoutMs: number;
  /** For progress, over any number of attempts. */
  patienceMs: number;
}

/** The times of one operation. Nothing is awaited for longer than the patience. */
export function timesOf({ patienceMs }: { patienceMs?: number | undefined }, usual: Times): Times {
  const patience = patienceMs ?? usual.patienceMs;
  return { timeoutMs: Math.min(usual.timeoutMs, patience), patienceMs: patience };
}

/** What is known of the server over all calls. */
export interface Server {
  readonly address: string;
  /** Whether it has ever answered. */
  readonly reached: boolean;
  /** Whether a call that failed for its token may be made again, because there is another token by now. */
  renewed(error: unknown): boolean;
}

/** Exponential backoff with jitter, until `patienceMs` brought no progress. */
export class Backoff {
  readonly #patienceMs: number;
  readonly #signal: AbortSignal;
  readonly #server: Server;
  #attempts = 0;
  /**
   * The time from which the patience counts: that of the first failure since there was progress. It is of a clock that
   * nobody sets.
   */
  #since: number | undefined;
  /** Why there was no connection, the last time that this was known. */
  #unreachable: UnreachableError | undefined;

  /** With `since`, of performance.now(), the patience counts from that time on, and not only from the first failure. */
  constructor(server: Server, patienceMs: number, signal: AbortSignal, since?: number) {
    this.#server = server;
    this.#patienceMs = patienceMs;
    this.#signal = signal;
    this.#since = since;
  }

  /** Starts the patience anew, and the next pause is short again. */
  progress(): void {
    this.#attempts = 0;
    this.#since = undefined;
  }

  /**
   * Waits before the next attempt: twice as long each time, and at least as long as the server asked for. The jitter
   * keeps the clients of a restarted server from coming back all at once. Does not wait if there is another token.
   * Throws `error` if a retry cannot help, unless the caller knows better (`retryable`), and an UnavailableError when
   * the patience is over.
   */
  async pause(error: unknown, retryable = false): Promise<void> {
    this.#signal.throwIfAborted();
    if (this.#server.renewed(error)) return;
    if (!(error instanceof ConexionesError) || !(retryable || isRetryable(error))) throw error;
    again(error);
    if (error instanceof UnreachableError) this.#unreachable = error;
    this.#since ??= performance.now();
    const { reached } = this.#server;
    const spent = Math.round(performance.now() - this.#since);
    const left = (reached ? this.#patienceMs : Math.min(FIRST_ANSWER_MS, this.#patienceMs)) - spent;
    const asked = error.retryAfterMs ?? 0;
    if (left <= 0 || asked > left) throw isLost(error) ? this.#gaveUp(spent, error) : error;
    const longest = reached ? LONGEST_PAUSE_MS : FIRST_ANSWER_PAUSE_MS;
    const delay = Math.min(longest, FIRST_PAUSE_MS * 2 ** this.#attempts) * (0.5 + Math.random() / 2);
    // The last pause is shortened, so that the last attempt is made just when the patience is over.
    const wait = Math.min(Math.max(delay, asked), left);
    this.#attempts += 1;
    try {
      await sleep(wait, undefined, { signal: this.#signal });
    } catch {
      this.#signal.throwIfAborted();
    }
  }

  #gaveUp(milliseconds: number, cause: ConexionesError): ConexionesError {
    const { reached, address } = this.#server;
    if (!reached) {
      const words = `it did not answer within ${milliseconds} ms`;
      return this.#unreachable ?? new UnreachableError(address, { words, certain: false }, cause);
    }
    const message = `Gave up after ${milliseconds} ms without progress. The last failure: ${cause.message}`;
    return makeError({ code: Code.UNAVAILABLE, message, cause });
  }
}

/**
 * Repeats `attempt` until it succeeds or the patience is over. The attempt must be idempotent, unless `repeatable` is
 * true only for errors of calls that did nothing.
 */
export async function retrying<T>(
  backoff: Backoff,
  attempt: () => Promise<T>,
  repeatable: (error: unknown) => boolean = () => true,
): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!repeatable(error)) throw error;
      await backoff.pause(error);
    }
  }
}
