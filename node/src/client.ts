// The client: one connection to one server, with a method for every call.
import { readFileSync } from "node:fs";

import * as grpc from "@grpc/grpc-js";

import type { AccessScope, Access, NewToken, Ticket, Token } from "./access.js";
import { ADDRESS, checkAddress, staysHere } from "./address.js";
import { Backoff, retrying, timesOf } from "./backoff.js";
import type { Times } from "./backoff.js";
import { ByHttp } from "./body.js";
import type { Identity } from "./body.js";
import { DOWNLOAD } from "./download.js";
import type { DownloadOptions } from "./download.js";
import { optionsFrom, tokenFrom } from "./environ.js";
import { isRefused, NotFoundError } from "./errors.js";
import { check, flag, milliseconds, options as optionsOf, pem, refused, text } from "./fields.js";
import type { Checks } from "./fields.js";
import { ImageService } from "./gen/conexiones/v1/images_pb.js";
import { StatusService } from "./gen/conexiones/v1/status_pb.js";
import { UploadService } from "./gen/conexiones/v1/uploads_pb.js";
import * as grants from "./grants.js";
import type { LinkOptions, RotateOptions, TicketOptions, TokenOptions, TokensOptions } from "./grants.js";
import { image } from "./images.js";
import type { Image } from "./images.js";
import { leavable } from "./iterables.js";
import { list } from "./listing.js";
import type { ListOptions } from "./listing.js";
import { uploadMany } from "./many.js";
import type { UploadItem, UploadManyOptions, UploadResult } from "./many.js";
import type { Rendition, RenditionInfo } from "./renditions.js";
import { CALL, Rpc } from "./rpc.js";
import type { CallOptions } from "./rpc.js";
import { Scope } from "./scope.js";
import { Secret } from "./secrets.js";
import { serverStatus } from "./server_status.js";
import type { ServerStatus } from "./server_status.js";
import { Shown } from "./shown.js";
import { SmallLimit } from "./small.js";
import type { UploadSource } from "./sources.js";
import * as status from "./status.js";
import type { Limits, Upload } from "./status.js";
import { checkNoTarget, downloadBytes, downloadInto, isTarget, refuse } from "./targets.js";
import type { Bytes } from "./sinks.js";
import type { DownloadTarget } from "./targets.js";
import { iteration, operation } from "./traces.js";
import { upload } from "./upload.js";
import type { UploadOptions } from "./upload.js";
import * as usuario from "./usuario.js";
import { watch } from "./watch.js";
import type { WatchEvent, WatchOptions } from "./watch.js";

export interface ClientOptions {
  /**
   * HOST:PORT of the server, or of several servers that share their data, as "HOST:PORT,HOST:PORT": the client begins with
   * any of them, and goes on at the next one when that is lost or is about to end. Default "localhost:50051".
   */
  address?: string | undefined;
  /** TLS, trusting the system's CAs; implied by `ca` and by `cert`. */
  tls?: boolean | undefined;
  /** The CA to trust instead of the system's: PEM, or the path of a PEM file. */
  ca?: string | Uint8Array | undefined;
  /** This client's certificate, for mTLS: PEM, or the path of a PEM file. */
  cert?: string | Uint8Array | undefined;
  /** The private key of `cert`: PEM, or the path of a PEM file. */
  key?: string | Uint8Array | undefined;
  /** A token, a ticket or a JWT, which is sent with every call. */
  token?: string | undefined;
  /**
   * The path of a file that has the token. It is read now, and again when the server says that the token has expired,
   * was revoked or is not known; the call is then made once more if there is another token in it.
   */
  tokenFile?: string | undefined;
  /** Send the token without TLS to other machines, too, where others can read it. */
  insecureToken?: boolean | undefined;
  /** Milliseconds that a unary call may take, and that a stream may bring nothing. Default 30,000. */
  timeoutMs?: number | undefined;
  /** Milliseconds without progress after which uploads, downloads and watching give up. Default 120,000. */
  patienceMs?: number | undefined;
}

const CLIENT: Checks<ClientOptions> = {
  ...{ address: checkAddress, tls: flag, ca: pem, cert: pem, key: pem, token: text, tokenFile: text },
  ...{ insecureToken: flag, timeoutMs: milliseconds, patienceMs: milliseconds },
};
const TIMEOUT_MS = 30_000;
const PATIENCE_MS = 120_000;

/** A client of one server. Safe to use for many calls at once. It connects with the first call. */
export class Client {
  readonly #rpc: Rpc;
  readonly #byHttp: ByHttp;
  readonly #times: Times;
  readonly #small = new SmallLimit();

  /**
   * Throws INVALID_FIELD for an address that is none, for a token that would go to another machine without encryption,
   * and for other options that make no sense; TOKEN_MISTYPED for a token with a typing error; and the error of the file
   * system if a file cannot be read.
   */
  constructor(options?: ClientOptions | string, further: Omit<ClientOptions, "address"> = {}) {
    check(further, CLIENT);
    const given = typeof options === "string" ? { ...further, address: options } : { ...further, ...options };
    if (options !== undefined) check(typeof options === "string" ? given : options, CLIENT);
    const { address = ADDRESS, timeoutMs = TIMEOUT_MS, patienceMs = PATIENCE_MS, ...rest } = given;
    const { token, tokenFile, insecureToken = false, ...security } = rest;
    const encrypted = isEncrypted(security);
    if (token !== undefined && tokenFile !== undefined) throw new TypeError("Give token or tokenFile, not both.");
    const near = (token ?? tokenFile) !== undefined && !encrypted && !insecureToken;
    if (near && !staysHere(address)) throw exposed(token === undefined ? "tokenFile" : "token", address);
    const shown = new Shown(token === undefined ? undefined : new Secret(token), tokenFile);
    const tls = identity(security);
    this.#rpc = new Rpc(address, credentials(tls), { encrypted, cert: security.cert !== undefined }, shown, {
      // Large enough for replies with previews, and for servers that send larger frames than ours.
      "grpc.max_receive_message_length": 64 << 20,
      // Reconnect soon after the server is back. The pauses between attempts are made by Backoff.
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 2_000,
      // Names are asked for again when a connection was lost: the servers behind one may have changed.
      "grpc.dns_min_time_between_resolutions_ms": 1_000,
      // Clients of a name with several servers spread over them.
      "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ pick_first: { shuffleAddressList: true } }] }),
      // Detects a peer that is gone without closing the connection.
      "grpc.keepalive_time_ms": 20_000,
      "grpc.keepalive_timeout_ms": 10_000,
      // The default window of 64 KiB would make a download wait for a round trip every 64 KiB.
      "grpc-node.flow_control_window": 4 << 20,
      // gRPC's transparent retries copy every message, and this SDK makes its own.
      "grpc.enable_retries": 0,
      // A proxy would read the token.
      ...(near && { "grpc.enable_http_proxy": 0 }),
    });
    this.#byHttp = new ByHttp(() => this.#rpc.place, tls, shown, { direct: near });
    this.#times = { timeoutMs, patienceMs };
  }

  /**
   * A client with the options in CONEXIONES_ADDRESS, CONEXIONES_TLS, CONEXIONES_CA, CONEXIONES_CERT, CONEXIONES_KEY,
   * CONEXIONES_TIMEOUT (seconds), CONEXIONES_TOKEN, CONEXIONES_TOKEN_FILE and CONEXIONES_INSECURE_TOKEN. Without a token
   * among them, the one that `conexiones login` keeps for that server. `options` take precedence.
   */
  static fromEnviron(options: ClientOptions = {}, environ: NodeJS.ProcessEnv = process.env): Client {
    check(options, CLIENT);
    const given = { ...optionsFrom(environ), ...options };
    const hasToken = (options.token ?? options.tokenFile) !== undefined;
    return new Client({ ...given, ...(hasToken ? {} : tokenFrom(environ, given.address ?? ADDRESS)) });
  }

  /** Ends watching, and the connection when the calls in flight have ended. New calls throw, as watching does. */
  close(): void {
    this.#rpc.close();
  }

  /**
   * Uploads an image of any size, and resumes by itself after lost connections and restarts of the server. A small image
   * takes one call. Throws ImageError if the server refuses the image, which happens as soon as its first bytes show it.
   */
  @operation
  async upload(source: UploadSource, options: UploadOptions = {}): Promise<Image> {
    return await upload(this.#rpc, source, options, this.#small, this.#times);
  }

  /**
   * Uploads any number of images, and yields what became of each as soon as it is known, in any order. An image that is
   * refused, or cannot be read, does not end it. Throws what `items` throws, after the results of all that it gave before,
   * and what makes it impossible to store anything: that the server is gone for too long, or a token without the right.
   */
  @iteration
  uploadMany<T extends UploadSource | UploadItem>(
    items: AsyncIterable<T> | Iterable<T>,
    options: UploadManyOptions = {},
  ): AsyncGenerator<UploadResult<T>, void, undefined> {
    return leavable((left) => uploadMany(this.#rpc, items, options, this.#small, this.#times, left));
  }

  /** An upload in its present state. Throws NotFoundError. */
  @operation
  async getUpload(id: string, options: CallOptions = {}): Promise<Upload> {
    text("id", id);
    const method = UploadService.method.getUpload;
    const reply = await this.#unary(options, (call) => this.#rpc.unary(method, { id }, call));
    return status.upload(reply.upload);
  }

  /** Cancels an upload. Throws NotFoundError, and `UPLOAD_ENDED` if the upload has ended in another way. */
  @operation
  async cancelUpload(id: string, options: CallOptions = {}): Promise<Upload> {
    text("id", id);
    const method = UploadService.method.cancelUpload;
    const reply = await this.#unary(options, (call) => this.#rpc.unary(method, { id }, call));
    return status.upload(reply.upload);
  }

  /** Which version the server is, what it holds, and whether that is whole. */
  @operation
  async status(options: CallOptions = {}): Promise<ServerStatus> {
    const method = StatusService.method.getStatus;
    return serverStatus(await this.#unary(options, (call) => this.#rpc.unary(method, {}, call)));
  }

  /** What the server accepts, and what it knows of this client. */
  @operation
  async limits(options: CallOptions = {}): Promise<Limits> {
    return await this.#limits(options);
  }

  async #limits(options: CallOptions): Promise<Limits> {
    const method = UploadService.method.getLimits;
    return status.limits(await this.#unary(options, (call) => this.#rpc.unary(method, {}, call)));
  }

  /**
   * Downloads an image, or a range of it, into a file, a stream (which is ended), or memory. With `rendition`, that
   * rendition is downloaded and described instead of the image. Without a target, the options may come second.
   */
  async download(id: string, options?: DownloadOptions): Promise<Bytes>;
  async download(id: string, target: undefined, options?: DownloadOptions): Promise<Bytes>;
  async download(
    id: string,
    target: DownloadTarget,
    options: DownloadOptions & { rendition: Rendition },
  ): Promise<RenditionInfo>;
  async download(
    id: string,
    target: DownloadTarget,
    options?: DownloadOptions & { rendition?: undefined },
  ): Promise<Image>;
  async download(id: string, target: DownloadTarget, options?: DownloadOptions): Promise<Image | RenditionInfo>;
  @operation
  async download(
    id: string,
    first?: DownloadTarget | DownloadOptions,
    second: DownloadOptions = {},
  ): Promise<Image | RenditionInfo | Bytes> {
    const [target, options] = first === undefined || isTarget(first) ? [first, second] : [undefined, first];
    try {
      text("id", id);
      if (target === undefined) checkNoTarget(options);
      check(options, DOWNLOAD);
    } catch (error) {
      if (target !== undefined) refuse(target, error);
      throw error;
    }
    const settings = { ...options, ...timesOf(options, this.#times), byHttp: this.#byHttp };
    if (target !== undefined) return await downloadInto(this.#rpc, id, target, settings);
    return await downloadBytes(this.#rpc, id, settings);
  }

  /** Images, newest first. Pages are fetched as you loop. */
  @iteration
  images(options: ListOptions = {}): AsyncGenerator<Image, void> {
    return list(this.#rpc, (call, attempt) => this.#unary(call, attempt), options);
  }

  /** One image by its id. Throws NotFoundError. */
  @operation
  async image(id: string, options: CallOptions = {}): Promise<Image> {
    text("id", id);
    const method = ImageService.method.getImage;
    const reply = await this.#unary(options, (call) => this.#rpc.unary(method, { id }, call));
    return image(reply.image);
  }

  /** Deletes an image. Throws NotFoundError. */
  @operation
  async delete(id: string, options: CallOptions = {}): Promise<void> {
    text("id", id);
    let attempts = 0;
    try {
      await this.#unary(options, (call) => {
        attempts += 1;
        return this.#rpc.unary(ImageService.method.deleteImage, { id }, call);
      });
    } catch (error) {
      // If the reply to an earlier attempt was lost, NotFoundError means that that attempt had succeeded.
      if (attempts === 1 || !(error instanceof NotFoundError)) throw error;
    }
  }

  /** Events of images, from now on or after a token. Reconnects by itself, and ends only with the client. */
  @iteration
  watch(options: WatchOptions = {}): AsyncGenerator<WatchEvent, void, undefined> {
    return leavable((left) => watch(this.#rpc, options, this.#times, left));
  }

  /** Registers or updates a user; a name alone only asks for the user. A call with an image is not retried. */
  @operation
  async getUser(request: usuario.UserRequest, options: CallOptions = {}): Promise<usuario.UserReply> {
    usuario.checkUser(request);
    // Retrying could store the image twice.
    return await this.#unary(options, (call) => usuario.getUser(this.#rpc, request, call), !request.image?.length);
  }

  /** Stores one image that fits into one message, for the user `user` if given. upload() takes images of any size. */
  @operation
  async processImage(
    bytes: Uint8Array,
    options: usuario.ProcessOptions = {},
  ): Promise<usuario.UserReply> {
    optionsOf("options", options);
    const { user, ...rest } = options;
    return await this.#unary(rest, (call) => usuario.processImage(this.#rpc, bytes, { user, ...call }), false);
  }

  /** Stores one image of any size, sent as fragments on one stream. Unlike upload(), it cannot be resumed. */
  @operation
  async streamImage(
    source: UploadSource,
    options: usuario.StreamOptions = {},
  ): Promise<usuario.UserReply> {
    return await usuario.streamImage(this.#rpc, source, options, this.#times);
  }

  /** Sends whole images, and yields one reply for each, in order. */
  @iteration
  imageStream(
    images: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: CallOptions = {},
  ): AsyncGenerator<usuario.ImageReply, void, undefined> {
    return leavable((left) => usuario.imageStream(this.#rpc, images, options, left));
  }

  /** Sends users, and yields one reply for each, in order, with a preview of the user's image. */
  @iteration
  userStream(
    users: AsyncIterable<usuario.UserRequest> | Iterable<usuario.UserRequest>,
    options: CallOptions = {},
  ): AsyncGenerator<usuario.UserStreamReply, void, undefined> {
    return leavable((left) => usuario.userStream(this.#rpc, users, options, left));
  }

  /** Who this client is for the server, with its limits and its use of them. */
  @operation
  async access(options: CallOptions = {}): Promise<Access | undefined> {
    return (await this.#limits(options)).access;
  }

  /**
   * Makes a token of a name (1 to 64 letters, digits, and any of . _ - @ and /). Several tokens may have one name, and what
   * is stored with them has one owner. Needs the scope `admin`. Not retried, because that could make two.
   */
  @operation
  async createToken(name: string, scopes: readonly AccessScope[], options: TokenOptions = {}): Promise<NewToken> {
    return await grants.createToken(this.#rpc, (...call) => this.#unary(...call, false), name, scopes, options);
  }

  /** Tokens, newest first. Pages are fetched as you loop. Needs the scope `admin`. */
  @iteration
  tokens(options: TokensOptions = {}): AsyncGenerator<Token, void, undefined> {
    return grants.tokens(this.#rpc, (...call) => this.#unary(...call), options);
  }

  /**
   * Ends a token, a ticket or a session, and all that was made with it, within a second. Needs the scope `admin`. Throws
   * NotFoundError.
   */
  @operation
  async revokeToken(id: string, options: CallOptions = {}): Promise<Token> {
    return await grants.revokeToken(this.#rpc, (...call) => this.#unary(...call), id, options);
  }

  /**
   * Makes a new key, with which links are signed from now on, and returns its id. With `endLinks`, all links that were
   * signed before end now. Needs the scope `admin`.
   */
  @operation
  async rotateLinkKey(options: RotateOptions = {}): Promise<string> {
    return await grants.rotateLinkKey(this.#rpc, (...call) => this.#unary(...call), options);
  }

  /** Makes a ticket, with which somebody else may store images and do nothing else. Needs the scope `write`. */
  @operation
  async createTicket(options: TicketOptions = {}): Promise<Ticket> {
    return await grants.createTicket(this.#rpc, (...call) => this.#unary(...call), options);
  }

  /**
   * A URL that opens an image, or with the options of a Rendition that rendition of it, without a credential, until it
   * expires or the token that signed it ends. Needs the scope `read`. Throws NotFoundError.
   */
  @operation
  async imageLink(id: string, options: LinkOptions = {}): Promise<string> {
    return await grants.imageLink(this.#rpc, (...call) => this.#unary(...call), id, options);
  }

  /** A call, retried until its timeout is over; if it is not `idempotent`, only when the server did not begin it. */
  async #unary<T>(options: CallOptions, call: (options: CallOptions) => Promise<T>, idempotent = true): Promise<T> {
    check(options, CALL);
    const { signal, timeoutMs = this.#times.timeoutMs } = options;
    const start = performance.now();
    const scope = new Scope(signal, undefined);
    try {
      return await retrying(
        new Backoff(this.#rpc, timeoutMs, scope.signal, start),
        () => call({ signal: scope.signal, timeoutMs: Math.max(1, start + timeoutMs - performance.now()) }),
        idempotent ? undefined : isRefused,
      );
    } finally {
      scope.close();
    }
  }
}

type Certificates = Pick<ClientOptions, "tls" | "ca" | "cert" | "key">;

function isEncrypted({ tls, ca, cert }: Certificates): boolean {
  return Boolean(tls || ca || cert);
}

/** The error for a token that must not be sent. */
function exposed(field: string, address: string): Error {
  return refused(field, [
    `The token would go to ${address} without encryption, where others can read it: turn TLS on, or set insecureToken.`,
    `El token iría a ${address} sin cifrar y otros podrían leerlo: active TLS, o ponga insecureToken.`,
  ]);
}

function identity({ ca, cert, key, ...rest }: Certificates): Identity | undefined {
  if (!cert !== !key) throw new TypeError("cert and key go together.");
  return isEncrypted({ ca, cert, ...rest }) ? { ca: pemOf(ca), cert: pemOf(cert), key: pemOf(key) } : undefined;
}

function credentials(tls: Identity | undefined): grpc.ChannelCredentials {
  return tls ? grpc.credentials.createSsl(tls.ca, tls.key, tls.cert) : grpc.credentials.createInsecure();
}

function pemOf(value: string | Uint8Array | undefined): Buffer | null {
  if (value === undefined) return null;
  if (typeof value !== "string") return Buffer.from(value);
  return value.includes("-----BEGIN") ? Buffer.from(value) : readFileSync(value);
}
