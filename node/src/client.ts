// The client: one connection to one server, and every call it has.
import { readFileSync } from "node:fs";
import type { Writable } from "node:stream";

import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";

import { downloadBytes, downloadFile, downloadStream } from "./download.js";
import type { DownloadOptions } from "./download.js";
import { NotFoundError } from "./errors.js";
import { ImageService } from "./gen/conexiones/v1/images_pb.js";
import { UploadService } from "./gen/conexiones/v1/uploads_pb.js";
import { image } from "./images.js";
import type { Image } from "./images.js";
import type { Rendition, RenditionInfo } from "./renditions.js";
import { Patience, persistently, Scope } from "./patience.js";
import type { Times } from "./patience.js";
import { Rpc } from "./rpc.js";
import type { CallOptions } from "./rpc.js";
import type { UploadSource } from "./sources.js";
import * as status from "./status.js";
import type { Limits, Upload } from "./status.js";
import { upload } from "./upload.js";
import type { UploadOptions } from "./upload.js";
import * as usuario from "./usuario.js";
import { watch } from "./watch.js";
import type { WatchEvent, WatchOptions } from "./watch.js";

export interface ClientOptions {
  /** HOST:PORT of the server. */
  address: string;
  /** TLS, trusting the system's CAs; implied by `ca` and by `cert`. */
  tls?: boolean | undefined;
  /** PEM, or the path of a PEM file: the CA of the server, the certificate of this client and its key. */
  ca?: string | Buffer | undefined;
  cert?: string | Buffer | undefined;
  key?: string | Buffer | undefined;
  /** Milliseconds that a call of one message each way may take, and that a stream may bring nothing. Default 30,000. */
  timeoutMs?: number | undefined;
  /** Milliseconds without progress after which uploads, downloads and watching give up. Default 120,000. */
  patienceMs?: number | undefined;
}

export interface ListOptions {
  /** Only this user's. */
  user?: string | undefined;
  /** Only those created at this time or later. */
  start?: Date | undefined;
  /** Only those created before this time. */
  end?: Date | undefined;
  /** Images of one request; at most 1,000. */
  pageSize?: number | undefined;
  signal?: AbortSignal | undefined;
}

const TIMEOUT_MS = 30_000;
const PATIENCE_MS = 120_000;

/** Safe to use for many calls at once. Nothing is connected before the first call. */
export class Client {
  readonly #rpc: Rpc;
  readonly #times: Times;

  constructor({ address, timeoutMs = TIMEOUT_MS, patienceMs = PATIENCE_MS, ...security }: ClientOptions) {
    this.#rpc = new Rpc(address, credentials(security), {
      // A reply with previews, or a server whose frames are larger than ours, is no reason to fail.
      "grpc.max_receive_message_length": 64 << 20,
      // A server that is back is found soon: how long to wait is the business of those who try again.
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 2_000,
      // A peer that is gone without a word is noticed.
      "grpc.keepalive_time_ms": 20_000,
      "grpc.keepalive_timeout_ms": 10_000,
      // Without it a download stops every 64 KiB to ask for more.
      "grpc-node.flow_control_window": 4 << 20,
      // Transparent retries copy every message, and uploads do better by themselves.
      "grpc.enable_retries": 0,
    });
    this.#times = { timeoutMs, patienceMs };
  }

  /** CONEXIONES_ADDRESS, _TLS, _CA, _CERT, _KEY and _TIMEOUT (seconds), as for all clients; `options` win. */
  static fromEnviron(options: Partial<ClientOptions> = {}, environ: NodeJS.ProcessEnv = process.env): Client {
    const seconds = environ["CONEXIONES_TIMEOUT"];
    if (seconds && !(Number(seconds) > 0)) throw new RangeError("CONEXIONES_TIMEOUT is a number of seconds.");
    return new Client({
      address: environ["CONEXIONES_ADDRESS"] || "localhost:50051",
      tls: ["1", "true", "yes"].includes(environ["CONEXIONES_TLS"]?.toLowerCase() ?? ""),
      ca: environ["CONEXIONES_CA"] || undefined,
      cert: environ["CONEXIONES_CERT"] || undefined,
      key: environ["CONEXIONES_KEY"] || undefined,
      timeoutMs: seconds ? Number(seconds) * 1000 : undefined,
      ...options,
    });
  }

  /** Ends the connection; calls under way come to their end. */
  close(): void {
    this.#rpc.close();
  }

  /**
   * Uploads an image of any size and goes on by itself over lost connections and restarted servers. An image that
   * the server refuses is an ImageError, as soon as its first bytes show it.
   */
  async upload(source: UploadSource, options: UploadOptions = {}): Promise<Image> {
    return await upload(this.#rpc, source, { ...options, ...this.#timesOf(options) });
  }

  /** An upload as it stands. NotFoundError if there is none. */
  async getUpload(id: string, options: CallOptions = {}): Promise<Upload> {
    const method = UploadService.method.getUpload;
    const reply = await this.#unary(options, (call) => this.#rpc.unary(method, { id }, call));
    return status.upload(reply.upload);
  }

  /** Gives an upload up. NotFoundError if there is none; `UPLOAD_ENDED` if it has ended otherwise. */
  async cancelUpload(id: string, options: CallOptions = {}): Promise<Upload> {
    const method = UploadService.method.cancelUpload;
    const reply = await this.#unary(options, (call) => this.#rpc.unary(method, { id }, call));
    return status.upload(reply.upload);
  }

  /** What the server accepts. */
  async limits(options: CallOptions = {}): Promise<Limits> {
    const method = UploadService.method.getLimits;
    return status.limits(await this.#unary(options, (call) => this.#rpc.unary(method, {}, call)));
  }

  /**
   * Downloads an image, or a range of it: into a file, a stream (which is ended), or memory. With a `rendition` it is
   * that whose bytes come, and which is described. The options may stand in the place of a target.
   */
  async download(id: string, options?: DownloadOptions): Promise<Uint8Array>;
  async download(id: string, target: undefined, options?: DownloadOptions): Promise<Uint8Array>;
  async download(
    id: string,
    target: string | Writable,
    options: DownloadOptions & { rendition: Rendition },
  ): Promise<RenditionInfo>;
  async download(
    id: string,
    target: string | Writable,
    options?: DownloadOptions & { rendition?: undefined },
  ): Promise<Image>;
  async download(
    id: string,
    target: string | Writable,
    options?: DownloadOptions,
  ): Promise<Image | RenditionInfo>;
  async download(
    id: string,
    first?: string | Writable | DownloadOptions,
    second: DownloadOptions = {},
  ): Promise<Image | RenditionInfo | Uint8Array> {
    const isTarget = first === undefined || typeof first === "string" || "writable" in first;
    const [target, options] = isTarget ? [first, second] : [undefined, first];
    const settings = { ...options, ...this.#timesOf(options) };
    if (options.resume && typeof target !== "string") throw new TypeError("Only into a file can a download be resumed.");
    if (target === undefined) return await downloadBytes(this.#rpc, id, settings);
    if (typeof target === "string") return await downloadFile(this.#rpc, id, target, settings);
    return await downloadStream(this.#rpc, id, target, settings);
  }

  /** Images, newest first. Pages are asked for as the loop goes on. */
  async *images({ user = "", start, end, pageSize = 0, signal }: ListOptions = {}): AsyncGenerator<Image, void> {
    const filter = {
      ...{ user, pageSize },
      ...(start && { startTime: timestampFromDate(start) }),
      ...(end && { endTime: timestampFromDate(end) }),
    };
    let pageToken = "";
    do {
      const request = { ...filter, pageToken };
      const page = await this.#unary({ signal }, (call) =>
        this.#rpc.unary(ImageService.method.listImages, request, call),
      );
      for (const each of page.images) yield image(each);
      pageToken = page.nextPageToken;
    } while (pageToken);
  }

  /** One image by its id. NotFoundError if there is none. */
  async image(id: string, options: CallOptions = {}): Promise<Image> {
    const method = ImageService.method.getImage;
    const reply = await this.#unary(options, (call) => this.#rpc.unary(method, { id }, call));
    return image(reply.image);
  }

  /** Deletes an image. NotFoundError if there is none. */
  async delete(id: string, options: CallOptions = {}): Promise<void> {
    let attempts = 0;
    try {
      await this.#unary(options, (call) => {
        attempts += 1;
        return this.#rpc.unary(ImageService.method.deleteImage, { id }, call);
      });
    } catch (error) {
      // After an attempt whose answer was lost, that there is nothing says that it was done.
      if (attempts === 1 || !(error instanceof NotFoundError)) throw error;
    }
  }

  /** What happens to images, from now on or from a token on. Connects again by itself; never ends by itself. */
  watch(options: WatchOptions = {}): AsyncGenerator<WatchEvent, void, undefined> {
    return watch(this.#rpc, { ...options, patienceMs: options.patienceMs ?? this.#times.patienceMs });
  }

  /** Registers or updates a user, or asks for one by its name alone. With an image it is not repeated if the connection is lost. */
  async getUser(request: usuario.UserRequest, options: CallOptions = {}): Promise<usuario.UserReply> {
    // An image would be stored twice.
    if (request.image?.length) return await usuario.getUser(this.#rpc, request, { ...this.#times, ...options });
    return await this.#unary(options, (call) => usuario.getUser(this.#rpc, request, call));
  }

  /** One image that fits into one message; upload() takes any. `user` says whose it is. */
  async processImage(
    bytes: Uint8Array,
    options: CallOptions & { user?: string | undefined } = {},
  ): Promise<usuario.UserReply> {
    return await usuario.processImage(this.#rpc, bytes, { ...this.#times, ...options });
  }

  /** One image of any size in fragments, all or nothing: what upload() is not. */
  async streamImage(
    source: UploadSource,
    options: CallOptions & { chunkSize?: number | undefined } = {},
  ): Promise<usuario.UserReply> {
    return await usuario.streamImage(this.#rpc, source, options);
  }

  /** Whole images, one reply each, in order. */
  imageStream(
    images: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: CallOptions = {},
  ): AsyncGenerator<usuario.ImageReply, void, undefined> {
    return usuario.imageStream(this.#rpc, images, options);
  }

  /** Users, one reply each, in order, with a preview of their image. */
  userStream(
    users: AsyncIterable<usuario.UserRequest> | Iterable<usuario.UserRequest>,
    options: CallOptions = {},
  ): AsyncGenerator<usuario.UserStreamReply, void, undefined> {
    return usuario.userStream(this.#rpc, users, options);
  }

  #timesOf({ patienceMs = this.#times.patienceMs }: { patienceMs?: number | undefined }): Times {
    return { timeoutMs: Math.min(this.#times.timeoutMs, patienceMs), patienceMs };
  }

  /** A call that may be done twice: tried again until its time is over. */
  async #unary<T>(
    { signal, timeoutMs = this.#times.timeoutMs }: CallOptions,
    call: (options: CallOptions) => Promise<T>,
  ): Promise<T> {
    const start = Date.now();
    const scope = new Scope(signal, undefined);
    try {
      return await persistently(new Patience(this.#rpc, timeoutMs, scope.signal, start), () =>
        call({ signal: scope.signal, timeoutMs: Math.max(1, start + timeoutMs - Date.now()) }),
      );
    } finally {
      scope.close();
    }
  }
}

function credentials({ tls, ca, cert, key }: Omit<ClientOptions, "address">): grpc.ChannelCredentials {
  if (!cert !== !key) throw new TypeError("cert and key go together.");
  if (!tls && !ca && !cert) return grpc.credentials.createInsecure();
  return grpc.credentials.createSsl(pem(ca), pem(key), pem(cert));
}

function pem(value: string | Buffer | undefined): Buffer | null {
  if (value === undefined) return null;
  if (typeof value !== "string") return value;
  return value.includes("-----BEGIN") ? Buffer.from(value) : readFileSync(value);
}
