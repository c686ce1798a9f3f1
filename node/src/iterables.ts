// What an iterable of the caller's gives, one after the other, and its end, also while it is waited for.
import type { Readable } from "node:stream";

/** A web stream, whose iterator could be ended only after the read that is under way. */
interface WebStream {
  getReader(): {
    read(): Promise<{ done: boolean; value?: unknown }>;
    cancel(): Promise<void>;
    releaseLock(): void;
  };
}

type Iterates<T> = AsyncIterator<T, unknown> | Iterator<T, unknown>;

/** Takes the items of an iterable. */
export class Taking<T> {
  readonly #items: unknown;
  readonly #iterator: Iterates<T>;
  #done = false;

  /** Throws what the iterable throws. `undefined` if it is none. */
  static of<T>(items: unknown): Taking<T> | undefined {
    if (isWebStream(items)) return new Taking(items, readingOf<T>(items));
    const found = items as Partial<AsyncIterable<T> & Iterable<T>> | null | undefined;
    const iterator = found?.[Symbol.asyncIterator]?.() ?? found?.[Symbol.iterator]?.();
    return iterator && new Taking(items, iterator);
  }

  private constructor(items: unknown, iterator: Iterates<T>) {
    this.#items = items;
    this.#iterator = iterator;
    // Without a listener, an error that comes before the first item is asked for would end the process. next() throws it.
    if (isNodeStream(items)) items.on("error", ignore);
  }

  async next(): Promise<IteratorResult<T, unknown>> {
    const next = await this.#iterator.next();
    if (next.done) this.#done = true;
    return next;
  }

  /** Lets go of an iterable that has not come to its end. A stream is destroyed, also if it is silent for ever. */
  end(): void {
    if (this.#done) return;
    this.#done = true;
    // Not awaited: a generator that is waiting for data of its own returns only when that has come.
    void (async () => await this.#iterator.return?.())().catch(ignore);
    // The iterator of a Readable destroys it only if it was begun, and not before the next item.
    if (isNodeStream(this.#items)) this.#items.destroy();
  }
}

function readingOf<T>(stream: WebStream): AsyncIterator<T> {
  const reader = stream.getReader();
  return {
    next: async () => {
      const { done, value } = await reader.read();
      if (done) reader.releaseLock();
      return (done ? { done, value: undefined } : { done, value }) as IteratorResult<T>;
    },
    return: async () => {
      const cancelled = reader.cancel();
      reader.releaseLock();
      await cancelled;
      return { done: true, value: undefined };
    },
  };
}

type Gives<T> = AsyncGenerator<T, void, undefined>;

/** The reason for which an iteration ends that nobody wants to go on. Whoever waits for its next item gets none. */
const LEFT = new Error("The iteration was left.");

/**
 * Makes a generator end at once when it is told to return, also while its next item is awaited, as that of a Readable over
 * it is. Of itself, it would return after that item, which may never come. `begin` gets a signal that then is aborted, and
 * whose reason it may throw.
 */
export function leavable<T>(begin: (left: AbortSignal) => Gives<T>): Gives<T> {
  const left = new AbortController();
  const items = begin(left.signal);
  const [next, leave] = [items.next.bind(items), items.return.bind(items)];
  const quietly = async (step: Promise<IteratorResult<T, void>>): Promise<IteratorResult<T, void>> => {
    try {
      return await step;
    } catch (error) {
      if (error === LEFT) return { done: true, value: undefined };
      throw error;
    }
  };
  const leaveAtOnce: Gives<T>["return"] = (value) => {
    left.abort(LEFT);
    return quietly(leave(value));
  };
  return Object.assign(items, { next: () => quietly(next()), return: leaveAtOnce });
}

export function isNodeStream(source: unknown): source is Readable {
  return typeof source === "object" && source !== null && "destroy" in source && "on" in source;
}

/** Whether the bytes that came before may be overwritten by the next ones, as by a generator that has one buffer. */
export function reusesMemory(source: unknown): boolean {
  return !isNodeStream(source) && !isWebStream(source) && !Array.isArray(source);
}

function isWebStream(source: unknown): source is WebStream {
  return typeof source === "object" && source !== null && "getReader" in source;
}

function ignore(): void {}
