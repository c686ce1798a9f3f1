// An upload that continues over lost connections and restarts of the server until the image is stored.
import { randomUUID } from "node:crypto";

import { Backoff, retrying, timesOf } from "./backoff.js";
import type { Times } from "./backoff.js";
import { Digest, KnownDigest } from "./digest.js";
import { AccessError, ConexionesError, Code, errorOfParts, isRetryable } from "./errors.js";
import { check, digest, invalid, listener, milliseconds, signal, text, whole } from "./fields.js";
import type { Checks } from "./fields.js";
import { Upload_State, UploadService } from "./gen/conexiones/v1/uploads_pb.js";
import type { Upload } from "./gen/conexiones/v1/uploads_pb.js";
import { image as imageOf } from "./images.js";
import type { Image, Progress } from "./images.js";
import { notResumable, ResumeFile, wasBegun } from "./resume.js";
import type { CallOptions, Rpc } from "./rpc.js";
import { Scope } from "./scope.js";
import { checkStored, readSmall, Small, storeSmall } from "./small.js";
import type { SmallLimit } from "./small.js";
import { openSource } from "./sources.js";
import type { Source, UploadSource } from "./sources.js";
import { discard } from "./readables.js";
import { SourceFailure, WriteSession } from "./write.js";

export interface UploadOptions {
  /** The name of the user to whom the image will belong. */
  user?: string | undefined;
  /**
   * The name of the file: at most 255 bytes of UTF-8 without control characters, of which only what follows the last
   * slash or backslash is kept. Default: the name of the file at a path, or of a File; "" for none.
   */
  name?: string | undefined;
  /** Aborts the upload at once, and cancels it on the server unless `resume` is set; `signal.reason` is thrown. */
  signal?: AbortSignal | undefined;
  /** Called whenever the server has made more bytes durable. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /**
   * Only for files: lets another process resume the upload where this one stopped, by calling upload() with the same
   * file. What is needed for that is kept in a small file beside the source (true), or in the named folder. A path that
   * can be read only once is sent without it, and so is a file beside which nothing can be written; a process warning
   * says so.
   */
  resume?: boolean | string | undefined;
  /** The digest of the source if known, as 32 bytes or in hexadecimal. The server checks it; nothing is hashed here. */
  sha256?: Uint8Array | string | undefined;
  /** Bytes of one message, reduced to the server's limit if that is smaller. Default 1 MiB. */
  chunkSize?: number | undefined;
  /** Milliseconds for the whole upload. Without it, an upload may take any time as long as there is progress. */
  deadlineMs?: number | undefined;
  /** Milliseconds without progress after which it gives up. Default: `patienceMs` of the client. */
  patienceMs?: number | undefined;
}

const UPLOAD: Checks<UploadOptions> = {
  ...{ user: text, name: text, signal, onProgress: listener, resume: flagOrFolder, sha256: digest, chunkSize: whole(1) },
  ...{ deadlineMs: milliseconds, patienceMs: milliseconds },
};

function flagOrFolder(field: string, value: unknown): void {
  if ((typeof value === "string" && value !== "") || typeof value === "boolean") return;
  throw invalid(field, ["true, false or the path of a folder", "true, false o la ruta de una carpeta"]);
}

/** Default size of one message's data. */
const CHUNK_BYTES = 1 << 20;
/** By which the server knows the same request again. A call that brought the whole image may have stored it already. */
interface Identified {
  requestId?: string | undefined;
}

/** How often an upload that the server let expire is begun anew. */
const RENEWALS = 3;
/** How long cancelling an abandoned upload may take. */
const CANCEL_TIMEOUT_MS = 5_000;

/** Uploads `from` and returns the image as stored. Throws ConexionesError, `signal.reason`, or the source's error. */
export async function upload(
  rpc: Rpc,
  from: UploadSource,
  options: UploadOptions,
  limit: SmallLimit,
  times: Times,
): Promise<Image> {
  return await withSource(from, options, UPLOAD, async (source, signal) => {
    const settings = { ...options, ...timesOf(options, times) };
    const requestId = randomUUID();
    const small = await uploadSmall(rpc, source, { ...settings, requestId }, limit, signal);
    return small ?? (await uploadLarge(rpc, source, { ...settings, requestId }, signal));
  });
}

/** Stores the source by one call; undefined if it is too large for that, or was begun in pieces, or is of unknown size. */
async function uploadSmall(
  rpc: Rpc,
  source: Source,
  options: UploadOptions & Times & Identified,
  limit: SmallLimit,
  signal: AbortSignal,
): Promise<Image | undefined> {
  const { resume, user = "", name = source.name, sha256, chunkSize = Infinity, timeoutMs, patienceMs, onProgress, requestId } = options;
  if (!source.size || source.size > chunkSize) return undefined;
  // What was begun in pieces goes on like that, and what cannot be resumed is refused there.
  if (resume && (!source.file || (await wasBegun(source.file, resume)))) return undefined;
  const call = { signal, timeoutMs };
  const backoff = new Backoff(rpc, patienceMs, signal);
  const bytes = await readSmall(source, await limit.get(rpc, backoff, call), signal);
  if (!bytes) return undefined;
  const stored = await storeSmall(rpc, new Small(bytes, { user, name, sha256, requestId }), backoff, call);
  if (stored) onProgress?.({ bytes: bytes.length, total: bytes.length });
  else limit.forget();
  return stored;
}

/** Uploads the source in chunks, over as many connections as it takes. */
export async function uploadLarge(
  rpc: Rpc,
  source: Source,
  options: UploadOptions & Times & Identified,
  signal: AbortSignal,
): Promise<Image> {
  try {
    return await new Uploading(rpc, source, options, signal).run();
  } catch (error) {
    throw error instanceof SourceFailure ? error.cause : error;
  }
}

/** Checks the options, opens the source, and closes it in the end, whatever happens. */
export async function withSource<T, O extends { signal?: AbortSignal | undefined; deadlineMs?: number | undefined }>(
  from: UploadSource,
  options: O,
  checks: Checks<O>,
  work: (source: Source, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  let scope: Scope | undefined;
  let source: Source | undefined;
  try {
    check(options, checks);
    scope = new Scope(options.signal, options.deadlineMs);
    source = await openSource(from, scope.signal);
    return await work(source, scope.signal);
  } finally {
    if (source) await source.close();
    else discard(from);
    scope?.close();
  }
}

/** What all of a source is. */
interface Sent {
  size: number;
  sha256: Uint8Array;
}

class Uploading {
  readonly #rpc: Rpc;
  readonly #source: Source;
  readonly #signal: AbortSignal;
  readonly #options: UploadOptions & Times;
  readonly #backoff: Backoff;
  #resume: ResumeFile | undefined;
  readonly #digest: Digest | KnownDigest;
  #requestId: string;
  #name: string;
  #chunkSize: number;
  #told = -1;
  /**
   * How many streams were opened and never answered. Such a stream may reach the server late, and fence the one that
   * was opened after it.
   */
  #unansweredStreams = 0;

  constructor(rpc: Rpc, source: Source, options: UploadOptions & Times & Identified, signal: AbortSignal) {
    const { requestId = randomUUID(), resume, user = "", name = source.name, chunkSize = CHUNK_BYTES, sha256 } = options;
    if (resume && source.file) {
      const facts = { address: rpc.address, user, size: source.size ?? 0, name };
      this.#resume = new ResumeFile(source.file, resume, facts);
    } else if (resume) {
      if (!source.unresumable) throw new TypeError("Only the upload of a file can be resumed by another process.");
      notResumable(source.unresumable);
    }
    this.#requestId = requestId;
    this.#name = name;
    this.#rpc = rpc;
    this.#source = source;
    this.#signal = signal;
    this.#options = options;
    this.#backoff = new Backoff(rpc, options.patienceMs, signal);
    this.#digest = sha256 === undefined ? new Digest(source) : new KnownDigest(sha256);
    this.#chunkSize = chunkSize;
  }

  async run(): Promise<Image> {
    let upload = await this.#begin();
    for (let renewals = 0; ; renewals++) {
      try {
        const stored = upload.state === Upload_State.OPEN ? await this.#send(upload.id) : this.#outcome(upload);
        await this.#resume?.remove();
        return stored;
      } catch (error) {
        if (!(error instanceof Expired)) {
          await this.#giveUp(upload.id, error);
          throw error;
        }
        if (renewals === RENEWALS || !this.#source.again) throw error.cause;
      }
      // It expired while this client or its network slept.
      upload = await this.#renew();
    }
  }

  /** Creates the upload, or finds the one that another process has begun. */
  async #begin(): Promise<Upload> {
    const name = this.#name;
    try {
      const begun = await this.#resume?.begin(this.#requestId);
      if (begun) [this.#requestId, this.#name] = [begun.requestId, begun.name];
    } catch (error) {
      // A folder that the caller names for the state file has to take it; the one of the source may be read-only.
      if (this.#options.resume !== true) throw error;
      const { code = String(error) } = error as NodeJS.ErrnoException;
      notResumable(`Nothing can be kept beside the file (${code}), so another process cannot resume its upload.`);
      this.#resume = undefined;
    }
    const upload = await this.#create();
    const another = this.#resume && isLost(upload.state);
    this.#name = name;
    return another ? await this.#renew() : upload;
  }

  /** Creates another upload of the same source. */
  async #renew(): Promise<Upload> {
    this.#requestId = this.#resume ? await this.#resume.renew() : randomUUID();
    this.#told = -1;
    return await this.#create();
  }

  async #create(): Promise<Upload> {
    const { user = "" } = this.#options;
    const { size } = this.#source;
    // An empty source announces no size: it is refused as an empty image.
    const request = { requestId: this.#requestId, user, name: this.#name, ...(size ? { sizeBytes: BigInt(size) } : {}) };
    const reply = await retrying(this.#backoff, () =>
      this.#rpc.unary(UploadService.method.createUpload, request, this.#call),
    );
    return present(reply.upload);
  }

  /** Writes and finishes the upload; retries, from the server's committed size, for as long as that may help. */
  async #send(id: string): Promise<Image> {
    for (;;) {
      let finished: { upload: Upload; sent: Sent } | undefined;
      try {
        const sizeBytes = await this.#write(id);
        const sha256 = this.#digest.result();
        const request = { id, sizeBytes: BigInt(sizeBytes), sha256 };
        const reply = await this.#rpc.unary(UploadService.method.finishUpload, request, this.#call);
        finished = { upload: present(reply.upload), sent: { size: sizeBytes, sha256 } };
      } catch (error) {
        const reason = error instanceof ConexionesError ? error.reason : "";
        if (reason === "UPLOAD_NOT_FOUND") throw new Expired(error);
        if (reason === "UPLOAD_ENDED") return await this.#ended(id, error as ConexionesError);
        if (reason === "MESSAGE_TOO_LARGE" && (await this.#shrink())) continue;
        const late = reason === "WRITER_FENCED" && this.#unansweredStreams > 0;
        if (late) this.#unansweredStreams -= 1;
        await this.#backoff.pause(error, late);
        continue;
      }
      return this.#outcome(finished.upload, { sent: finished.sent });
    }
  }

  get #call(): CallOptions {
    return { signal: this.#signal, timeoutMs: this.#options.timeoutMs };
  }

  /** Writes one stream, from the committed size to the end of the source; returns the size of the source. */
  async #write(id: string): Promise<number> {
    let answered = false;
    this.#unansweredStreams += 1;
    const session = new WriteSession(this.#rpc, id, {
      source: this.#source,
      digest: this.#digest,
      chunkSize: this.#chunkSize,
      timeoutMs: this.#options.timeoutMs,
      signal: this.#signal,
      acknowledged: (bytes) => {
        if (!answered) this.#unansweredStreams -= 1;
        answered = true;
        this.#acknowledged(bytes);
      },
    });
    return await session.run();
  }

  #acknowledged(bytes: number): void {
    if (bytes <= this.#told) return;
    // A new stream repeats the committed size, which is no progress unless it is the first acknowledgement of all.
    this.#told = bytes;
    this.#backoff.progress();
    this.#options.onProgress?.({ bytes, total: this.#source.size });
  }

  /** The outcome of an upload that ended before we finished it: it was refused early, or is stored already. */
  async #ended(id: string, error: ConexionesError): Promise<Image> {
    const reply = await retrying(this.#backoff, () =>
      this.#rpc.unary(UploadService.method.getUpload, { id }, this.#call),
    );
    return this.#outcome(present(reply.upload), { otherwise: error });
  }

  /** The image of an upload that has ended as it should. Throws CHECKSUM_MISMATCH if it is another than was sent. */
  #outcome({ state, image, failure }: Upload, { otherwise, sent }: { otherwise?: ConexionesError; sent?: Sent } = {}): Image {
    if (state === Upload_State.READY) {
      const stored = imageOf(image);
      checkStored(stored, { size: this.#source.size, sha256: undefined, ...sent });
      return stored;
    }
    if (failure) throw errorOfParts(failure.code, failure.message, failure.details);
    const message = `The upload has ended: it is ${Upload_State[state]}.`;
    const error = otherwise ?? new ConexionesError({ code: Code.FAILED_PRECONDITION, reason: "UPLOAD_ENDED", message });
    throw state === Upload_State.EXPIRED ? new Expired(error) : error;
  }

  /** Reduces the chunks, which were too large for this server. Resolves with whether that was possible. */
  async #shrink(): Promise<boolean> {
    const limits = await retrying(this.#backoff, () =>
      this.#rpc.unary(UploadService.method.getLimits, {}, this.#call),
    );
    const most = Number(limits.maxChunkBytes);
    if (most < 1 || most >= this.#chunkSize) return false;
    this.#chunkSize = most;
    return true;
  }

  /** Cleans up after a failure what nobody will resume: the state file, or the upload on the server. */
  async #giveUp(id: string, error: unknown): Promise<void> {
    if (this.#resume) {
      // An interrupted upload can be resumed; one that the server refused cannot.
      if (error instanceof ConexionesError && !isRetryable(error) && !isInterrupted(error)) {
        await this.#resume.remove();
      }
      return;
    }
    if (error instanceof ConexionesError && (error.reason === "WRITER_FENCED" || !INTERRUPTED.has(error.reason))) return;
    // Not awaited, because the caller wants to end. If the server does not hear of it, the upload expires.
    this.#rpc.unary(UploadService.method.cancelUpload, { id }, { timeoutMs: CANCEL_TIMEOUT_MS }).catch(() => undefined);
  }
}

/** The upload expired, or the server has forgotten it. `cause` is the error that says so. */
class Expired extends Error {
  constructor(cause: unknown) {
    super("The upload has expired.", { cause });
  }
}

/** Reasons for which an upload was stopped, although the server did not refuse it. */
const INTERRUPTED = new Set<string>(["DEADLINE_EXCEEDED", "CANCELLED", "WRITER_FENCED"]);

/** Whether the same upload may go on later: with another token, or when there is room in the quota. */
function isInterrupted(error: ConexionesError): boolean {
  return error instanceof AccessError || error.reason === "QUOTA_EXCEEDED" || INTERRUPTED.has(error.reason);
}

function isLost(state: Upload_State): boolean {
  return [Upload_State.FAILED, Upload_State.CANCELLED, Upload_State.EXPIRED].includes(state);
}

function present(upload: Upload | undefined): Upload {
  if (!upload) throw new TypeError("The server sent a reply without its upload.");
  return upload;
}
