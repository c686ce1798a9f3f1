// Many images at once: small ones on a few streams, large ones beside them by uploads that resume.
import { setMaxListeners } from "node:events";

import { Backoff, timesOf } from "./backoff.js";
import type { Times } from "./backoff.js";
import { Bell } from "./bell.js";
import { AccessError, ConexionesError, isLost } from "./errors.js";
import { check, digest, invalid, milliseconds, signal, text, whole } from "./fields.js";
import type { Checks } from "./fields.js";
import type { Image } from "./images.js";
import { Taking } from "./iterables.js";
import { Lane } from "./lane.js";
import type { Work } from "./lane.js";
import { discard } from "./readables.js";
import { ClientClosed } from "./rpc.js";
import type { Rpc } from "./rpc.js";
import { Scope, unlessAborted } from "./scope.js";
import { readSmall, Small } from "./small.js";
import type { SmallLimit } from "./small.js";
import { isSource, openSource, readSmallFile } from "./sources.js";
import type { Source, UploadSource } from "./sources.js";
import { uploadLarge } from "./upload.js";

/** One of many images, with what `upload()` takes as options for each. */
export interface UploadItem {
  source: UploadSource;
  /** The name of the user to whom the image will belong. Default: that of all. */
  user?: string | undefined;
  /** The name of the file, as in `UploadOptions`. */
  name?: string | undefined;
  /** The digest of the source if known, as 32 bytes or in hexadecimal. */
  sha256?: Uint8Array | string | undefined;
}

export interface UploadManyOptions {
  /** The name of the user to whom the images will belong. */
  user?: string | undefined;
  /** How many large images are uploaded at a time. Default 4. A stream of unknown size keeps up to 16 MiB in memory. */
  concurrency?: number | undefined;
  /** Ends all at once; `signal.reason` is thrown. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for all of them. Without it, they may take any time as long as there is progress. */
  deadlineMs?: number | undefined;
  /** Milliseconds without progress after which it gives up. Default: `patienceMs` of the client. */
  patienceMs?: number | undefined;
}

/** What became of one image: it is stored, or `error` says why not. */
export type UploadResult<T> = { index: number; item: T } & Outcome;

type Outcome = { image: Image; error: undefined } | { image: undefined; error: Error };

const ITEM: Checks<Omit<UploadItem, "source">> = { user: text, name: text, sha256: digest };
const MANY: Checks<UploadManyOptions> = {
  ...{ user: text, concurrency: whole(1), signal, deadlineMs: milliseconds, patienceMs: milliseconds },
};

/** Images that were taken and whose results the caller has not got yet. */
const MOST_TAKEN = 512;
/** Bytes of small images in memory, besides those of the ones that are being read, and of sources in memory whose results wait. */
const MOST_BYTES = 16 << 20;
/** Sources that are opened and read at a time. */
const OPENING = 16;
/** Streams of small images. The server works on several images of each. */
const STREAMS = 4;
/** Default number of large images that are uploaded at a time. */
const LARGE = 4;
/** Large images that are open and wait for their turn. Nothing more is taken while there are so many. */
const LARGE_WAITING = 12;

/** Uploads the items, and yields what became of each, as soon as it is known. */
export async function* uploadMany<T extends UploadSource | UploadItem>(
  rpc: Rpc,
  items: AsyncIterable<T> | Iterable<T>,
  options: UploadManyOptions,
  limit: SmallLimit,
  times: Times,
  left: AbortSignal,
): AsyncGenerator<UploadResult<T>, void, undefined> {
  const taking = takingOf(items);
  let scope: Scope | undefined;
  let many: Many<T> | undefined;
  try {
    check(options, MANY);
    scope = new Scope(options.signal, options.deadlineMs);
    scope.endWith(left);
    const { user = "", concurrency = LARGE } = options;
    many = new Many(rpc, taking, { user, concurrency, ...timesOf(options, times) }, limit, scope);
    yield* many.results();
  } finally {
    await many?.close();
    taking.end();
    scope?.close();
  }
}

function takingOf<T>(items: AsyncIterable<T> | Iterable<T>): Taking<T> {
  const whole = typeof items === "string" || ArrayBuffer.isView(items);
  const taking = whole ? undefined : Taking.of<T>(items);
  if (!taking) throw invalid("items", ["an iterable of sources", "un iterable de orígenes"]);
  return taking;
}

/** An item that was taken. */
interface Taken<T> extends UploadItem {
  index: number;
  item: T;
  user: string;
}

/** A result that waits, with the bytes that its source has in memory. */
interface Told<T> {
  result: UploadResult<T>;
  bytes: number;
}

type Settings = Times & { user: string; concurrency: number };

class SmallTaken<T> extends Small {
  readonly taken: Taken<T>;

  constructor(bytes: Uint8Array, name: string, taken: Taken<T>) {
    super(bytes, { ...taken, name });
    this.taken = { ...taken, name }; // whichever way it is sent
  }
}

class Many<T extends UploadSource | UploadItem> implements Work<SmallTaken<T>> {
  readonly queue: SmallTaken<T>[] = [];
  readonly bell = new Bell();
  readonly #rpc: Rpc;
  readonly #items: Taking<T>;
  readonly #settings: Settings;
  readonly #limit: SmallLimit;
  readonly #scope: Scope;
  /** Rings when there is room for more. */
  readonly #room = new Bell();
  /** Rings when there is something to tell. */
  readonly #news = new Bell();
  readonly #tasks = new Set<Promise<void>>();
  #results: Told<T>[] = [];
  #exhausted = false;
  /** Why nothing more can be stored. */
  #failure: { error: unknown } | undefined;
  /** The error of the iterable of items, thrown after the results of all that it gave before. */
  #last: { error: unknown } | undefined;
  #taken = 0;
  #bytes = 0;
  #opening = 0;
  #sending = 0;
  #large = 0;
  #lanes = 0;

  constructor(
    rpc: Rpc,
    items: Taking<T>,
    settings: Settings,
    limit: SmallLimit,
    scope: Scope,
  ) {
    this.#rpc = rpc;
    this.#items = items;
    this.#settings = settings;
    this.#limit = limit;
    this.#scope = scope;
    setMaxListeners(0, scope.signal); // everything that is under way listens
    scope.signal.addEventListener("abort", () => this.#fail(scope.signal.reason), { once: true });
  }

  /** Whether nothing more will come into the queue of small images. */
  get complete(): boolean {
    return this.#exhausted && this.#opening === 0;
  }

  async *results(): AsyncGenerator<UploadResult<T>, void, undefined> {
    this.#run(this.#feed());
    for (;;) {
      await this.#news.until(() => this.#results.length > 0 || this.#failure !== undefined || (this.#exhausted && this.#taken === 0));
      if (this.#scope.signal.aborted) throw this.#scope.signal.reason;
      const results = this.#results;
      this.#results = [];
      for (const { result, bytes } of results) {
        this.#taken -= 1;
        this.#bytes -= bytes;
        this.#room.ring();
        yield result;
        this.#scope.signal.throwIfAborted(); // the results that came with it are not told any more
      }
      if (results.length > 0) continue;
      const failure = this.#failure ?? this.#last;
      if (failure) throw failure.error;
      return;
    }
  }

  /** Ends what is under way, and waits for that. */
  async close(): Promise<void> {
    this.#scope.abort(new Error("The caller wants no more results."));
    this.#items.end(); // what is silent would be waited for
    await Promise.all(this.#tasks);
  }

  stored({ taken, bytes }: SmallTaken<T>, image: Image): void {
    this.#release(bytes);
    this.#tell(taken, { image, error: undefined });
  }

  refused({ taken, bytes }: SmallTaken<T>, error: unknown): void {
    this.#release(bytes);
    this.#refuse(taken, error);
  }

  unwanted(small: SmallTaken<T>): void {
    this.#limit.forget();
    this.alone(small);
  }

  alone({ taken, bytes, requestId }: SmallTaken<T>): void {
    this.#run(this.#send(bytes, taken, requestId)); // a call that was cut may have stored it
  }

  /** Takes one item after the other while there is room. */
  async #feed(): Promise<void> {
    const { signal: over } = this.#scope;
    try {
      for (let index = 0; ; index++) {
        await this.#room.until(() => over.aborted || this.#hasRoom());
        if (over.aborted) return;
        const next = await unlessAborted(this.#items.next(), over);
        if (next.done) break;
        this.#taken += 1;
        this.#opening += 1;
        this.#run(this.#open(next.value, index));
      }
    } catch (error) {
      this.#last = { error };
    }
    this.#exhausted = true;
    this.#ringAll();
  }

  #hasRoom(): boolean {
    return (
      this.#taken < MOST_TAKEN &&
      this.#bytes < MOST_BYTES &&
      this.#opening < OPENING &&
      this.#opening + this.#sending < this.#settings.concurrency + LARGE_WAITING // any that is opened may be large
    );
  }

  /** Opens an item, and lets it be sent. */
  async #open(item: T, index: number): Promise<void> {
    const taken: Taken<T> = { index, item, user: this.#settings.user, source: item as UploadSource };
    let source: Source | undefined;
    try {
      if (isItem(item)) Object.assign(taken, factsOf(item));
      let small = await this.#small(taken);
      if (small) {
        this.#queue(small);
        return;
      }
      source = await this.#opened(taken);
      small = await this.#smallOf(source, taken);
      if (small) {
        this.#queue(small);
        await source.close().catch(() => undefined); // all of it has been read
      } else this.#run(this.#send(source, taken));
    } catch (error) {
      await source?.close().catch(() => undefined);
      this.#refuse(taken, error);
    } finally {
      this.#opening -= 1;
      this.#room.ring();
      this.bell.ring();
    }
  }

  #queue(small: SmallTaken<T>): void {
    this.#bytes += small.bytes.length;
    this.queue.push(small);
    if (this.#lanes < STREAMS) this.#run(this.#lane());
  }

  /** The image if its source is the path of a small file, as most are where there are many. */
  async #small(taken: Taken<T>): Promise<SmallTaken<T> | undefined> {
    const { signal: over } = this.#scope;
    try {
      const { user, name, sha256 } = taken;
      check({ user, name, sha256 }, ITEM, "item");
      over.throwIfAborted();
    } catch (error) {
      discard(taken.source);
      throw error;
    }
    if (typeof taken.source !== "string") return undefined;
    const file = await unlessAborted(readSmallFile(taken.source, () => this.#most()), over);
    return file && new SmallTaken(file.bytes, taken.name ?? file.name, taken);
  }

  async #opened(taken: Taken<T>): Promise<Source> {
    const { signal: over } = this.#scope;
    let opening: Promise<Source> | undefined;
    try {
      opening = openSource(taken.source, over);
      return await unlessAborted(opening, over);
    } catch (error) {
      if (opening) opening.then((late) => late.close()).catch(() => undefined);
      discard(taken.source);
      throw error;
    }
  }

  async #smallOf(source: Source, taken: Taken<T>): Promise<SmallTaken<T> | undefined> {
    const bytes = await readSmall(source, await this.#most(), this.#scope.signal);
    return bytes && new SmallTaken(bytes, taken.name ?? source.name, taken);
  }

  /** The size of the largest image that is small. */
  async #most(): Promise<number> {
    const { signal: over } = this.#scope;
    const { timeoutMs, patienceMs } = this.#settings;
    return await this.#limit.get(this.#rpc, new Backoff(this.#rpc, patienceMs, over), { signal: over, timeoutMs });
  }

  /** Stores small images until nothing more comes. */
  async #lane(): Promise<void> {
    this.#lanes += 1;
    try {
      await new Lane(this.#rpc, this, this.#settings, this.#scope.signal).run();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#lanes -= 1;
    }
  }

  /** Sends a large image when it has its turn. */
  async #send(from: Source | Uint8Array, taken: Taken<T>, requestId?: string): Promise<void> {
    const { signal: over } = this.#scope;
    this.#sending += 1;
    let source: Source | undefined;
    try {
      source = from instanceof Uint8Array ? await openSource(from) : from;
      await this.#room.until(() => over.aborted || this.#large < this.#settings.concurrency);
      over.throwIfAborted();
      this.#large += 1;
      try {
        const image = await uploadLarge(this.#rpc, source, { ...this.#settings, ...taken, requestId }, over);
        this.#tell(taken, { image, error: undefined });
      } finally {
        this.#large -= 1;
      }
    } catch (error) {
      this.#refuse(taken, error);
    } finally {
      this.#sending -= 1;
      if (from instanceof Uint8Array) this.#release(from);
      await source?.close().catch(() => undefined);
      this.#room.ring();
    }
  }

  #release(bytes: Uint8Array): void {
    this.#bytes -= bytes.length;
    this.#room.ring();
  }

  /** The outcome of an item that is not stored, unless no other item could be stored either. */
  #refuse(taken: Taken<T>, error: unknown): void {
    if (this.#scope.signal.aborted) return;
    if (endsAll(error)) this.#fail(error);
    else this.#tell(taken, { image: undefined, error: error instanceof Error ? error : new Error(String(error)) });
  }

  #tell({ index, item, source }: Taken<T>, outcome: Outcome): void {
    const bytes = ArrayBuffer.isView(source) || source instanceof ArrayBuffer ? source.byteLength : 0;
    this.#bytes += bytes;
    this.#results.push({ result: { index, item, ...outcome }, bytes });
    this.#news.ring();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#ringAll();
  }

  #ringAll(): void {
    for (const bell of [this.#news, this.#room, this.bell]) bell.ring();
  }

  /** Keeps a promise that never rejects, until it has ended. */
  #run(task: Promise<void>): void {
    this.#tasks.add(task);
    void task.finally(() => this.#tasks.delete(task));
  }
}

/** Whether an error is of the connection or of the caller, and not of one image. */
function endsAll(error: unknown): boolean {
  if (!(error instanceof ConexionesError)) return error instanceof ClientClosed;
  return isLost(error) || (error instanceof AccessError && error.reason !== "FORMAT_NOT_GRANTED");
}

/** What an item says of its image. It may be an object of any class, which throws what it likes. */
function factsOf({ source, user, name, sha256 }: UploadItem): Partial<UploadItem> {
  return { source, name, sha256, ...(user !== undefined && { user }) };
}

/** Whether this is an item and not a source, which may have a property of that name, too. */
function isItem(item: UploadSource | UploadItem | null): item is UploadItem {
  if (typeof item !== "object" || item === null || !("source" in item)) return false;
  const prototype: unknown = Object.getPrototypeOf(item);
  return prototype === Object.prototype || prototype === null || !isSource(item);
}
