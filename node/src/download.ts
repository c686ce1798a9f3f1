// A download that continues over lost connections and restarts of the server until every byte is there and checked.
import { createHash } from "node:crypto";

import type { MessageInitShape } from "@bufbuild/protobuf";
import crc32 from "@node-rs/crc32";

import { Backoff, retrying } from "./backoff.js";
import type { Times } from "./backoff.js";
import { LEAST_BYTES } from "./body.js";
import type { Body, ByHttp } from "./body.js";
import { Code, ConexionesError, makeError } from "./errors.js";
import { flag, listener, milliseconds, signal, whole } from "./fields.js";
import type { Checks } from "./fields.js";
import { ImageService } from "./gen/conexiones/v1/images_pb.js";
import type { DownloadImageResponse, RenditionSchema } from "./gen/conexiones/v1/images_pb.js";
import { image as imageOf } from "./images.js";
import type { Image, Progress } from "./images.js";
import { checkRendition, renditionInfo, renditionRequest } from "./renditions.js";
import type { Rendition, RenditionInfo } from "./renditions.js";
import type { Rpc } from "./rpc.js";
import { LONGEST_TIMER_MS, Scope } from "./scope.js";
import type { Sink } from "./sinks.js";

export interface DownloadOptions {
  /**
   * Download this rendition of the image; all other options then apply to its bytes. The server makes it before it
   * sends the first byte, which must arrive within `timeoutMs`.
   */
  rendition?: Rendition | undefined;
  /** The first byte wanted; a negative one counts from the end. */
  offset?: number | undefined;
  /** The largest number of bytes wanted; 0, the default, for all up to the end. */
  limit?: number | undefined;
  /** Aborts the download at once; `signal.reason` is thrown. */
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
  /** Continue with the bytes that an earlier download to the same path left when it ended early. */
  resume?: boolean | undefined;
  /** Milliseconds for the whole download. Without it, a download may take any time as long as there is progress. */
  deadlineMs?: number | undefined;
  /** Milliseconds without progress after which it gives up. Default: `patienceMs` of the client. */
  patienceMs?: number | undefined;
}

export const DOWNLOAD: Checks<DownloadOptions> = {
  ...{ rendition: checkRendition, offset: whole(Number.MIN_SAFE_INTEGER), limit: whole(0), resume: flag },
  ...{ signal, onProgress: listener, deadlineMs: milliseconds, patienceMs: milliseconds },
};

export type Settings = DownloadOptions & Times & { byHttp: ByHttp };
export type Received = Image | RenditionInfo;

/** Downloads into the sink, and ends it. Each frame is checked before it is written, the SHA-256 only at the end. */
export async function download(rpc: Rpc, id: string, sink: Sink, options: Settings): Promise<Received> {
  let scope: Scope | undefined;
  let closed: { error: unknown } | undefined;
  try {
    sink.watch?.((error) => {
      closed ??= { error };
      scope?.abort(error);
    });
    scope = new Scope(options.signal, options.deadlineMs);
    const { signal } = scope;
    if (closed) scope.abort(closed.error);
    signal.throwIfAborted();
    const received = await complete(rpc, id, sink, options, signal);
    await sink.end?.(signal);
    return received;
  } catch (error) {
    sink.fail?.(error);
    throw error;
  } finally {
    scope?.close();
  }
}

async function complete(rpc: Rpc, id: string, sink: Sink, options: Settings, signal: AbortSignal): Promise<Received> {
  for (let changes = 0; ; ) {
    const downloading = new Downloading(rpc, id, sink, options, signal);
    try {
      return await downloading.run();
    } catch (error) {
      // The rendition was made again and has different bytes: start again, once.
      const changed = error instanceof ConexionesError && error.reason === "ETAG_MISMATCH" && ++changes === 1;
      if (!changed && !(error instanceof WrongDigest)) throw error;
      if (!(await sink.restart())) throw error;
      if (!changed && !downloading.continued) options.byHttp.usable = false;
    }
  }
}

/** Some bytes were wrong that can be had otherwise: those of the part file of an earlier process, or those by HTTP. */
class WrongDigest extends Error {}

class Downloading {
  readonly #rpc: Rpc;
  readonly #id: string;
  readonly #sink: Sink;
  readonly #options: Settings;
  readonly #signal: AbortSignal;
  readonly #backoff: Backoff;
  readonly #hash = createHash("sha256");
  readonly #rendition: MessageInitShape<typeof RenditionSchema> | undefined;
  /** The description of the bytes, once it is known. */
  #description: Received | undefined;
  /** How many bytes the sink has. */
  #received = 0;
  /** Where the range begins in the image, or in the rendition. */
  #start = 0;
  /** Where the range ends. */
  #end = 0;
  /** Whether the sink had bytes of an earlier download. */
  continued = false;
  /** Whether the callback has thrown, or has aborted. */
  #stopped = false;
  /** Whether bytes have come by HTTP, without a check of their own. */
  #unchecked = false;
  /** Whether the rest may be had by HTTP: only the hash of the whole tells if it is right. */
  #byHttp: boolean;

  constructor(rpc: Rpc, id: string, sink: Sink, options: Settings, signal: AbortSignal) {
    const { rendition } = options;
    this.#rendition = rendition && renditionRequest(rendition);
    this.#rpc = rpc;
    this.#id = id;
    this.#sink = sink;
    this.#options = options;
    this.#byHttp = sink.again && !rendition && !options.offset && !options.limit;
    this.#signal = signal;
    this.#backoff = new Backoff(rpc, options.patienceMs, signal);
  }

  async run(): Promise<Received> {
    await this.#continue();
    while (!this.#description || !this.#complete) {
      try {
        await this.#read();
      } catch (error) {
        await this.#backoff.pause(error);
      }
    }
    this.#check(this.#description);
    return this.#description;
  }

  /** Continues after the bytes that an earlier process left, if there are any. */
  async #continue(): Promise<void> {
    if (this.#sink.size === 0) return;
    this.#describe(await retrying(this.#backoff, () => this.#fetchDescription()));
    if (this.#sink.size > this.#end - this.#start) {
      await this.#sink.restart();
      return;
    }
    for await (const bytes of this.#sink.written()) {
      this.#signal.throwIfAborted();
      this.#hash.update(bytes);
      this.#received += bytes.length;
    }
    this.continued = true;
    this.#tell();
  }

  /** Describes what a download would bring, without downloading it. */
  async #fetchDescription(): Promise<Received> {
    const call = { signal: this.#signal, timeoutMs: this.#options.timeoutMs };
    if (!this.#rendition) {
      return imageOf((await this.#rpc.unary(ImageService.method.getImage, { id: this.#id }, call)).image);
    }
    const request = { id: this.#id, limit: 1n, rendition: this.#rendition };
    for await (const frame of this.#rpc.serverStream(ImageService.method.downloadImage, request, call)) {
      return this.#descriptionIn(frame);
    }
    throw makeError({ code: Code.UNAVAILABLE, message: "The server ended the stream without a word." });
  }

  #descriptionIn({ image, rendition }: DownloadImageResponse): Received {
    if (!this.#rendition) return imageOf(image);
    if (rendition) return renditionInfo(rendition);
    throw makeError({ code: Code.UNIMPLEMENTED, message: "The server is too old to make renditions." });
  }

  /** Takes the description, from which the range is known. */
  #describe(description: Received): void {
    const { offset = 0, limit = 0 } = this.#options;
    this.#description = description;
    const size = description.sizeBytes;
    this.#start = offset < 0 ? Math.max(0, size + offset) : Math.min(offset, size);
    this.#end = limit > 0 ? Math.min(size, this.#start + limit) : size;
    this.#sink.expect(this.#end - this.#start);
  }

  /** One call, which downloads the rest of the range. */
  async #read(): Promise<void> {
    // Before the first frame has told the size, the range is sent as the caller gave it.
    const { offset = 0, limit = 0, timeoutMs } = this.#options;
    const position = this.#description ? this.#start + this.#received : offset;
    const length = this.#description && limit > 0 ? this.#end - position : limit;
    const request = {
      ...{ id: this.#id, offset: BigInt(position), limit: BigInt(length) },
      ifEtag: this.#description?.etag ?? "",
      ...(this.#rendition && { rendition: this.#rendition }),
    };
    const frames = this.#rpc.serverStream(ImageService.method.downloadImage, request, { signal: this.#signal });
    let body: Body | undefined;
    const stall = new Stall(timeoutMs, () => {
      frames.abandon();
      body?.close();
    });
    try {
      for await (const frame of frames) {
        if (this.#complete) break; // more than all was asked for by nobody
        if (frame.data.length > 0) stall.stop();
        await this.#take(frame);
        body = await this.#rest();
        if (body) {
          frames.cancel();
          await this.#takeAll(body, stall);
          break;
        }
        if (frame.data.length > 0) stall.start(); // a frame without bytes is no reason to wait for longer
      }
    } catch (error) {
      if (this.#complete && !this.#stopped) return; // there was nothing left to come
      if (!stall.happened || this.#signal.aborted) throw error;
      const message = `The server sent nothing within ${timeoutMs} ms.`;
      throw makeError({ code: Code.UNAVAILABLE, message, cause: error });
    } finally {
      stall.stop();
    }
    if (!this.#complete) {
      throw makeError({ code: Code.UNAVAILABLE, message: "The server ended the stream before all was sent." });
    }
  }

  /** Whether all bytes have come and are checked. */
  get #complete(): boolean {
    return this.#description !== undefined && this.#start + this.#received >= this.#end;
  }

  async #take(frame: DownloadImageResponse): Promise<void> {
    const { offset, data, crc32c } = frame;
    if (!this.#description) this.#describe(this.#descriptionIn(frame));
    if (data.length === 0) return;
    const due = this.#start + this.#received;
    if (!this.#description || Number(offset) !== due || due + data.length > this.#end) {
      throw damaged(`The server sent bytes for offset ${offset}; those at ${due} are due.`);
    }
    if (crc32.crc32c(data) !== crc32c) throw damaged("The CRC-32C of the bytes is not that of the bytes sent.");
    await this.#keep(data);
  }

  async #keep(data: Uint8Array): Promise<void> {
    this.#hash.update(data);
    await this.#sink.write(data, this.#signal);
    this.#received += data.length;
    this.#backoff.progress();
    this.#tell();
  }

  /** What is left, if that is much and it can be had by HTTP. */
  async #rest(): Promise<Body | undefined> {
    const { byHttp } = this.#options;
    const [start, end] = [this.#start + this.#received, this.#end];
    if (!this.#byHttp || !this.#description || !byHttp.usable || end - start < LEAST_BYTES) return undefined;
    return await byHttp.open({ id: this.#id, etag: this.#description.etag, start, end }, this.#signal);
  }

  async #takeAll(body: Body, stall: Stall): Promise<void> {
    const begin = this.#received;
    const stop = () => body.close();
    this.#unchecked = true;
    this.#signal.addEventListener("abort", stop, { once: true });
    try {
      stall.start();
      for await (const data of body.pieces()) {
        stall.stop();
        await this.#keep(data);
        stall.start();
      }
    } finally {
      this.#signal.removeEventListener("abort", stop);
      // A connection that never lasts for long would be opened again and again.
      this.#byHttp = this.#received - begin >= LEAST_BYTES;
    }
  }

  #tell(): void {
    this.#stopped = true;
    this.#options.onProgress?.({ bytes: this.#received, total: this.#end - this.#start });
    this.#signal.throwIfAborted(); // the callback may have aborted: frames that have already come are dropped
    this.#stopped = false;
  }

  #check(stored: Received): void {
    if (this.#received !== stored.sizeBytes) return; // only a range was downloaded, whose hash is unknown
    if (this.#hash.digest().equals(stored.sha256)) return;
    if (this.continued || this.#unchecked) throw new WrongDigest();
    throw damaged("The SHA-256 of the bytes is not what the server says.");
  }
}

function damaged(message: string): Error {
  return makeError({ code: Code.DATA_LOSS, reason: "CHECKSUM_MISMATCH", message });
}

/** A timer that runs while the next message is awaited. */
class Stall {
  readonly #milliseconds: number;
  readonly #call: () => void;
  #timer: NodeJS.Timeout | undefined;
  happened = false;

  constructor(milliseconds: number, call: () => void) {
    this.#milliseconds = milliseconds;
    this.#call = call;
    this.start();
  }

  start(): void {
    if (this.#milliseconds > LONGEST_TIMER_MS) return;
    this.#timer = setTimeout(() => {
      this.happened = true;
      this.#call();
    }, this.#milliseconds);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
