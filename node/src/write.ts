// One WriteStream call: sends chunks within a window of unacknowledged bytes, while acknowledgements come in.
import { create } from "@bufbuild/protobuf";
import crc32 from "@node-rs/crc32";

import { Code, makeError } from "./errors.js";
import { UploadService, WriteStreamRequestSchema } from "./gen/conexiones/v1/uploads_pb.js";
import type { WriteStreamRequest, WriteStreamResponse } from "./gen/conexiones/v1/uploads_pb.js";
import type { BidiStream, Rpc } from "./rpc.js";
import { LONGEST_TIMER_MS, unlessAborted } from "./scope.js";
import type { Source } from "./sources.js";

/**
 * Bytes that may be sent and not yet acknowledged: enough for 1 Gbit/s over 100 ms. A stream source keeps that many
 * bytes in memory.
 */
const WINDOW_BYTES = 16 << 20;

/** The source failed, not the upload, so a retry does not help. `cause` is its error. */
export class SourceFailure extends Error {
  constructor(cause: unknown) {
    super("The source failed.", { cause });
  }
}

export interface SessionOptions {
  source: Source;
  digest: { add(offset: number, bytes: Uint8Array): void; catchUp(offset: number, signal: AbortSignal): Promise<void> };
  /** In bytes. */
  chunkSize: number;
  /** If an acknowledgement is due and does not come for this many milliseconds, the connection counts as lost. */
  timeoutMs: number;
  signal: AbortSignal;
  /** Called with the committed size: first with the offset to begin at, then for every acknowledgement. */
  acknowledged: (bytes: number) => void;
}

export class WriteSession {
  readonly #call: BidiStream<WriteStreamRequest, WriteStreamResponse>;
  readonly #options: SessionOptions;
  readonly #id: string;
  /** Aborted when the call has ended, for any reason. */
  readonly #over = new AbortController();
  #committed: number | undefined;
  #offset = 0;
  #ended = false;
  #stalled = false;
  #timer: NodeJS.Timeout | undefined;
  #wake: () => void = () => undefined;

  constructor(rpc: Rpc, id: string, options: SessionOptions) {
    this.#id = id;
    this.#options = options;
    this.#call = rpc.bidi(UploadService.method.writeStream, { signal: options.signal });
  }

  /** Sends everything from the committed size on. Resolves with the source's size when all is acknowledged. */
  async run(): Promise<number> {
    const acks = this.#listen().finally(() => {
      this.#over.abort();
      this.#wake();
    });
    acks.catch(() => undefined);
    let failure: { error: unknown } | undefined;
    try {
      this.#watch();
      await this.#call.write(create(WriteStreamRequestSchema, { uploadId: this.#id }));
      await this.#until(() => this.#committed !== undefined);
      if (!this.#over.signal.aborted) await this.#send();
    } catch (error) {
      failure = { error };
      this.#call.cancel();
    }
    this.#call.end();
    this.#ended = true;
    this.#watch();
    try {
      await acks;
    } catch (error) {
      throw failure ? failure.error : error;
    } finally {
      clearTimeout(this.#timer);
    }
    if (failure) throw failure.error;
    if (this.#committed !== this.#offset) {
      throw makeError({ code: Code.UNAVAILABLE, message: "The server ended the stream before all was written." });
    }
    return this.#offset;
  }

  async #send(): Promise<void> {
    const { source, digest, chunkSize } = this.#options;
    const { signal } = this.#over;
    this.#offset = this.#committed ?? 0;
    await ofSource(digest.catchUp(this.#offset, signal), signal);
    for (;;) {
      await this.#until(() => this.#offset - (this.#committed ?? 0) + chunkSize <= Math.max(WINDOW_BYTES, chunkSize));
      if (signal.aborted) return;
      const data = await ofSource(source.read(this.#offset, chunkSize), signal);
      if (!data?.length) return;
      digest.add(this.#offset, data);
      const offset = BigInt(this.#offset);
      const idle = this.#offset === this.#committed;
      this.#offset += data.length;
      if (idle) this.#watch();
      const crc32c = crc32.crc32c(data);
      if (!(await this.#call.write(create(WriteStreamRequestSchema, { offset, data, crc32c })))) return;
    }
  }

  async #listen(): Promise<void> {
    try {
      for await (const { committedSize } of this.#call) {
        const committed = Number(committedSize);
        // What was acknowledged before says nothing, and is no reason to wait for longer.
        if (this.#committed !== undefined && committed <= this.#committed) continue;
        this.#check(committed);
        this.#committed = committed;
        this.#options.source.release(this.#committed);
        this.#watch();
        this.#options.acknowledged(this.#committed);
        this.#wake();
      }
    } catch (error) {
      if (!this.#stalled) throw error;
      const message = `The server acknowledged nothing within ${this.#options.timeoutMs} ms.`;
      throw makeError({ code: Code.UNAVAILABLE, message, cause: error });
    }
  }

  /** Throws if the server acknowledges bytes that it cannot have. */
  #check(committed: number): void {
    const { size = Infinity } = this.#options.source;
    if (committed > size) {
      const message = `The server has ${committed} bytes of an image that has ${size}.`;
      throw makeError({ code: Code.INVALID_ARGUMENT, reason: "SIZE_EXCEEDED", message });
    }
    // The first acknowledgement is of the bytes that earlier streams have sent.
    if (this.#committed === undefined || committed <= this.#offset) return;
    throw makeError({ code: Code.UNAVAILABLE, message: "The server acknowledged more than was sent." });
  }

  /** Starts the timer anew if an acknowledgement is due. If none comes in time, the call is abandoned. */
  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const owed = this.#ended || this.#committed === undefined || this.#committed < this.#offset;
    const { timeoutMs } = this.#options;
    if (!owed || timeoutMs > LONGEST_TIMER_MS) return;
    this.#timer = setTimeout(() => {
      this.#stalled = true;
      this.#call.abandon();
    }, timeoutMs);
  }

  /** Waits until the condition holds or the call has ended. */
  async #until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.#over.signal.aborted) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** The result of a promise of the source; undefined if the call ends first. Throws its error as SourceFailure. */
async function ofSource<T>(promise: Promise<T>, over: AbortSignal): Promise<T | undefined> {
  try {
    return await unlessAborted(promise, over);
  } catch (error) {
    if (over.aborted) return undefined;
    throw new SourceFailure(error);
  }
}
