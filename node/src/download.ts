// A download that continues over lost connections and restarts of the server until every byte is there and checked.
import { createHash } from "node:crypto";

import type { MessageInitShape } from "@bufbuild/protobuf";
import crc32 from "@node-rs/crc32";

import { Backoff, retrying } from "./backoff.js";
import type { Times } from "./backoff.js";
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

export type Settings = DownloadOptions & Times;
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
  const downloading = new Downloading(rpc, id, sink, options, signal);
  try {
    return await downloading.run();
  } catch (error) {
    // The part file of an earlier process had wrong bytes, or the rendition was made again and has different bytes:
    // start again.
    const changed = error instanceof ConexionesError && error.reason === "ETAG_MISMATCH";
    if (!changed && !(downloading.continued && error instanceof WrongDigest)) throw error;
    if (!(await sink.restart())) throw error;
    return await new Downloading(rpc, id, sink, options, signal).run();
  }
}

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

  constructor(rpc: Rpc, id: string, sink: Sink, options: Settings, signal: AbortSignal) {
    const { rendition } = options;
    this.#rendition = rendition && renditionRequest(rendition);
    this.#rpc = rpc;
    this.#id = id;
    this.#sink = sink;
    this.#options = options;
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
    const stall = new Stall(timeoutMs, () => frames.abandon());
    try {
      for await (const frame of frames) {
        if (this.#complete) break; // more than all was asked for by nobody
        if (frame.data.length > 0) stall.stop();
        await this.#take(frame);
        if (frame.data.length > 0) stall.start(); // a frame without bytes is no reason to wait for longer
      }
    } catch (error) {
      if (this.#complete) return; // there was nothing left to come
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
    this.#hash.update(data);
    await this.#sink.write(data, this.#signal);
    this.#received += data.length;
    this.#backoff.progress();
    this.#tell();
  }

  #tell(): void {
    this.#options.onProgress?.({ bytes: this.#received, total: this.#end - this.#start });
    this.#signal.throwIfAborted(); // the callback may have aborted: frames that have already come are dropped
  }

  #check(stored: Received): void {
    if (this.#received !== stored.sizeBytes) return; // only a range was downloaded, whose hash is unknown
    if (this.#hash.digest().equals(stored.sha256)) return;
    if (this.continued) throw new WrongDigest();
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
