// One UploadImages call after the other, on which small images are stored. What a call leaves unanswered is sent again
// on the next, with the same request ids.
import { create } from "@bufbuild/protobuf";

import { Backoff } from "./backoff.js";
import type { Bell } from "./bell.js";
import { Code, ConexionesError, errorOfParts, isRetryable, makeError } from "./errors.js";
import { UploadImagesRequestSchema, UploadService } from "./gen/conexiones/v1/uploads_pb.js";
import type { UploadImagesRequest, UploadImagesResponse } from "./gen/conexiones/v1/uploads_pb.js";
import type { Image } from "./images.js";
import type { BidiStream, Rpc } from "./rpc.js";
import { LONGEST_TIMER_MS } from "./scope.js";
import { isOld, isTooLarge } from "./small.js";
import type { Small } from "./small.js";

/** Images that one call may have unanswered: twice as many as the server works on at a time. */
const MOST_OWED = 32;

/** What a lane stores, and whom it tells. */
export interface Work<S extends Small> {
  /** The images that no lane has taken yet. */
  readonly queue: S[];
  /** Rings when there is more in the queue, or when nothing more will come. */
  readonly bell: Bell;
  /** Whether nothing more will come into the queue. */
  readonly complete: boolean;
  stored(small: S, image: Image): void;
  refused(small: S, error: unknown): void;
  /** The server does not take these images by this call. */
  unwanted(small: S): void;
  /** A call failed at it: it gets one of its own. */
  alone(small: S): void;
}

interface Times {
  timeoutMs: number;
  patienceMs: number;
}

type Call = BidiStream<UploadImagesRequest, UploadImagesResponse>;

export class Lane<S extends Small> {
  readonly #rpc: Rpc;
  readonly #work: Work<S>;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal;
  readonly #backoff: Backoff;
  /** Sent and not answered yet, in the order in which the server answers. */
  #owed: S[] = [];
  /** Refused for now: the server may take them later. `error` says why. */
  #later: { again: S[]; error: unknown } | undefined;
  #ended = false;
  #stalled = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(rpc: Rpc, work: Work<S>, { timeoutMs, patienceMs }: Times, signal: AbortSignal) {
    this.#rpc = rpc;
    this.#work = work;
    this.#timeoutMs = timeoutMs;
    this.#signal = signal;
    this.#backoff = new Backoff(rpc, patienceMs, signal);
  }

  /** Stores what is in the queue until nothing more will come. Throws what ends all calls, and the signal's reason. */
  async run(): Promise<void> {
    for (;;) {
      await this.#work.bell.until(() => this.#owed.length > 0 || this.#next || this.#work.complete || this.#signal.aborted);
      this.#signal.throwIfAborted();
      if (this.#owed.length === 0 && !this.#next) return;
      try {
        await this.#stream();
      } catch (error) {
        await this.#after(error);
      }
      if (this.#later) await this.#wait(this.#later);
    }
  }

  get #next(): boolean {
    return this.#work.queue.length > 0;
  }

  async #after(error: unknown): Promise<void> {
    this.#signal.throwIfAborted();
    if (isOld(error) || isTooLarge(error)) {
      for (const small of this.#owed.splice(0)) this.#work.unwanted(small);
      return;
    }
    // The server answers in order, so it is the first that was not answered.
    if (this.#owed.length > 0 && isOfOne(error)) {
      for (const small of this.#owed.splice(0, 1)) this.#work.alone(small);
      return;
    }
    // A call that ends while nothing is owed was idle. Another is made when there is something to send.
    // What is no error of a call is thrown by pause().
    if (this.#owed.length > 0 || !(error instanceof ConexionesError)) await this.#backoff.pause(error);
  }

  /** Waits before what was refused for now is sent again. When the patience is over, that is its outcome. */
  async #wait({ again, error }: { again: S[]; error: unknown }): Promise<void> {
    this.#later = undefined;
    try {
      await this.#backoff.pause(error);
      this.#owed.unshift(...again);
    } catch (last) {
      this.#signal.throwIfAborted();
      for (const small of again) this.#work.refused(small, last);
    }
  }

  /** One call: what is owed, and then what is in the queue. */
  async #stream(): Promise<void> {
    this.#ended = this.#stalled = false;
    const call = this.#rpc.bidi(UploadService.method.uploadImages, { signal: this.#signal });
    const reading = this.#read(call).finally(() => {
      this.#ended = true;
      this.#work.bell.ring();
    });
    reading.catch(() => undefined); // thrown when it is awaited
    try {
      this.#watch(call);
      for (const small of [...this.#owed]) if (!(await this.#write(call, small))) break;
      while (await this.#another()) {
        const small = this.#work.queue.shift();
        if (!small) break;
        this.#owed.push(small);
        if (this.#owed.length === 1) this.#watch(call);
        if (!(await this.#write(call, small))) break;
      }
      call.end();
      await reading;
      if (this.#owed.length === 0) return;
      throw makeError({ code: Code.UNAVAILABLE, message: "The server ended the stream before all was answered." });
    } finally {
      clearTimeout(this.#timer);
    }
  }

  async #write(call: Call, small: S): Promise<boolean> {
    return await call.write(create(UploadImagesRequestSchema, small.request));
  }

  /** Waits until there is another image to be sent on this call. Resolves with false if there will be none. */
  async #another(): Promise<boolean> {
    const { bell } = this.#work;
    const over = () => this.#ended || this.#later !== undefined;
    await bell.until(() => over() || (this.#owed.length < MOST_OWED && (this.#next || this.#work.complete)));
    return !over() && this.#next;
  }

  async #read(call: Call): Promise<void> {
    try {
      for await (const response of call) this.#take(call, response);
    } catch (error) {
      if (!this.#stalled) throw error;
      const message = `The server answered nothing within ${this.#timeoutMs} ms.`;
      throw makeError({ code: Code.UNAVAILABLE, message, cause: error });
    }
  }

  #take(call: Call, { requestId, outcome }: UploadImagesResponse): void {
    const small = this.#owed[0];
    if (small?.requestId !== requestId) {
      throw makeError({ code: Code.UNAVAILABLE, message: "The server answered something else than was asked." });
    }
    this.#owed.shift();
    this.#watch(call);
    if (outcome.case === "failure") {
      const { code, message, details } = outcome.value;
      this.#failed(small, errorOfParts(code, message, details));
    } else {
      this.#backoff.progress();
      this.#stored(small, outcome.value);
    }
    this.#work.bell.ring();
  }

  #stored(small: S, message: Parameters<Small["stored"]>[0]): void {
    let image: Image;
    try {
      image = small.stored(message);
    } catch (error) {
      this.#work.refused(small, error);
      return;
    }
    this.#work.stored(small, image);
  }

  #failed(small: S, error: ConexionesError): void {
    if (isTooLarge(error)) this.#work.unwanted(small);
    else if (!isRetryable(error) || small.hopeless(error)) {
      this.#backoff.progress();
      this.#work.refused(small, error);
    } else if (this.#later) this.#later.again.push(small);
    else this.#later = { again: [small], error };
  }

  /** Starts the timer anew if an answer is due. If none comes in time, the call is abandoned. */
  #watch(call: Call): void {
    clearTimeout(this.#timer);
    if (this.#owed.length === 0 || this.#timeoutMs > LONGEST_TIMER_MS) return;
    this.#timer = setTimeout(() => {
      this.#stalled = true;
      call.abandon();
    }, this.#timeoutMs);
  }
}

/** The codes of errors that would meet every other image, too. */
const OF_ALL = new Set([Code.RESOURCE_EXHAUSTED, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED]);

/** Whether the server failed at one image, and may well take the others. */
function isOfOne(error: unknown): boolean {
  return error instanceof ConexionesError && error.reason !== "" && !isRetryable(error) && !OF_ALL.has(error.code);
}
