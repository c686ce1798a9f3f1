// The streams that a download goes to: those of the caller, and those over devices, FIFOs and sockets.
import { ClientRequest } from "node:http";
import { finished } from "node:stream";
import type { Writable } from "node:stream";
import type { WritableStream, WritableStreamDefaultWriter } from "node:stream/web";

import type { Place } from "./places.js";
import { unlessAborted } from "./scope.js";
import type { Sink } from "./sinks.js";
import { writerTo } from "./special.js";

/**
 * A stream of the caller's. It is treated as by stream.pipeline(): ended when all is written, destroyed after a failure,
 * and whatever becomes of it is the error of the download and nobody else's. Only a response of an HTTP server that has
 * not begun is left as it is, so that the failure can be answered.
 */
export class WritableSink implements Sink {
  readonly again = false;
  readonly size = 0;
  readonly #target: Writable;
  /** Settled when the stream is finished or has failed. */
  readonly #over = new Deferred();
  #unwatch: () => void = ignore;
  #ending = false;
  /** Whether the stream was open when the download began. */
  #mine = false;

  constructor(target: Writable) {
    this.#target = target;
  }

  watch(failed: (error: unknown) => void): void {
    hush(this.#target);
    const { destroyed, writableEnded, errored } = this.#target;
    if (destroyed || writableEnded) {
      failed(errored ?? closed(destroyed ? "ERR_STREAM_DESTROYED" : "ERR_STREAM_WRITE_AFTER_END"));
      return;
    }
    this.#mine = true;
    this.#unwatch = finished(this.#target, { readable: false }, (error) => {
      const early = error ?? (this.#ending ? undefined : closed("ERR_STREAM_PREMATURE_CLOSE"));
      this.#over.settle(early);
      if (early) failed(early);
    });
  }

  expect(): void {}

  async write(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    // A Buffer, because streams in object mode pass chunks on as they are.
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    // Not its callback is awaited: middleware that wraps a response does not always call it.
    if (!this.#target.write(chunk)) await drained(this.#target, signal);
  }

  async *written(): AsyncGenerator<Uint8Array> {}

  async restart(): Promise<boolean> {
    return false;
  }

  async end(signal: AbortSignal): Promise<void> {
    this.#ending = true;
    if (!this.#isStandard()) {
      this.#target.end();
      await unlessAborted(this.#over.promise, signal);
      return;
    }
    const flushed = new Promise<void>((resolve, reject) => {
      this.#target.write(Buffer.alloc(0), (error) => (error ? reject(error) : resolve()));
    });
    await unlessAborted(flushed, signal);
    // The program goes on to use this stream, whose later errors are its own.
    this.#unwatch();
    this.#target.off("error", ignore);
  }

  fail(error: unknown): void {
    if (!this.#mine || this.#isStandard() || isUnansweredResponse(this.#target)) return;
    // The request of an HTTP/2 response gets the error, too.
    if ("req" in this.#target) hush(this.#target.req as Writable);
    this.#target.destroy(error instanceof Error ? error : undefined);
  }

  /** Whether this is stdout or stderr, which are never closed, as in stream.pipeline(). */
  #isStandard(): boolean {
    return this.#target === process.stdout || this.#target === process.stderr;
  }
}

/** A WHATWG stream of the caller's: closed when all is written, aborted after a failure. */
export class WebSink implements Sink {
  readonly again = false;
  readonly size = 0;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  #ending = false;

  /** Throws TypeError if the stream is locked. */
  constructor(target: WritableStream<Uint8Array>) {
    this.#writer = target.getWriter();
    this.#writer.ready.catch(ignore);
  }

  watch(failed: (error: unknown) => void): void {
    this.#writer.closed.then(() => {
      if (!this.#ending) failed(closed("ERR_STREAM_PREMATURE_CLOSE"));
    }, failed);
  }

  expect(): void {}

  async write(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    await unlessAborted(this.#writer.ready, signal);
    // A copy, whose memory the stream may transfer to another thread.
    this.#writer.write(new Uint8Array(bytes)).catch(ignore);
  }

  async *written(): AsyncGenerator<Uint8Array> {}

  async restart(): Promise<boolean> {
    return false;
  }

  async end(signal: AbortSignal): Promise<void> {
    this.#ending = true;
    await unlessAborted(this.#writer.close(), signal);
  }

  fail(error: unknown): void {
    this.#writer.abort(error).catch(ignore);
  }
}

/** A device, a FIFO, a socket or an open descriptor. It is opened for the first byte, and not for a failure before it. */
export class PlaceSink implements Sink {
  readonly again = false;
  readonly size = 0;
  readonly #place: Place;
  #failed: (error: unknown) => void = ignore;
  #inner: WritableSink | undefined;
  #stream: Writable | undefined;

  constructor(place: Place) {
    this.#place = place;
  }

  watch(failed: (error: unknown) => void): void {
    this.#failed = failed;
  }

  expect(): void {}

  async write(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    await (await this.#open(signal)).write(bytes, signal);
  }

  async *written(): AsyncGenerator<Uint8Array> {}

  async restart(): Promise<boolean> {
    return this.#inner === undefined;
  }

  async end(signal: AbortSignal): Promise<void> {
    await (await this.#open(signal)).end(signal);
    // A socket would wait for the end of its other side.
    if (this.#place.kind !== "descriptor") this.#stream?.destroy();
  }

  fail(error: unknown): void {
    this.#inner?.fail(error);
  }

  async #open(signal: AbortSignal): Promise<WritableSink> {
    if (this.#inner) return this.#inner;
    this.#stream = await writerTo(this.#place, signal);
    this.#inner = new WritableSink(this.#stream);
    this.#inner.watch(this.#failed);
    return this.#inner;
  }
}

class Deferred {
  resolve: () => void = ignore;
  reject: (error: unknown) => void = ignore;
  readonly promise = new Promise<void>((resolve, reject) => {
    [this.resolve, this.reject] = [resolve, reject];
  });

  constructor() {
    this.promise.catch(ignore);
  }

  settle(error: unknown): void {
    if (error === undefined) this.resolve();
    else this.reject(error);
  }
}

function ignore(): void {}

/** Without a listener, an error of the stream would end the process, also one that comes after the download has ended. */
export function hush(stream: Pick<Writable, "on" | "listeners">): void {
  if (!stream.listeners("error").includes(ignore)) stream.on("error", ignore);
}

async function drained(target: Writable, signal: AbortSignal): Promise<void> {
  let drain = ignore;
  const draining = new Promise<void>((resolve) => (drain = resolve));
  target.once("drain", drain);
  try {
    await unlessAborted(draining, signal);
  } finally {
    target.off("drain", drain);
  }
}

function closed(code: string): Error {
  return Object.assign(new Error("The stream was closed before all was written."), { code });
}

/** Whether this is the response of an HTTP server that can still say something else: no header was sent. */
function isUnansweredResponse(target: object): boolean {
  return "headersSent" in target && !target.headersSent && !(target instanceof ClientRequest);
}
