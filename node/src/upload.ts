// An upload that goes on, over lost connections and servers that restart, until the image is stored.
import { randomUUID } from "node:crypto";

import { Digest, KnownDigest } from "./digest.js";
import { ConexionesError, Code, errorOfParts, isPassing } from "./errors.js";
import { Upload_State, UploadService } from "./gen/conexiones/v1/uploads_pb.js";
import type { Upload } from "./gen/conexiones/v1/uploads_pb.js";
import { image } from "./images.js";
import type { Image, Progress } from "./images.js";
import { Patience, persistently, Scope } from "./patience.js";
import type { Times } from "./patience.js";
import { ResumeFile } from "./resume.js";
import type { CallOptions, Rpc } from "./rpc.js";
import { openSource } from "./sources.js";
import type { Source, UploadSource } from "./sources.js";
import { SourceFailure, WriteSession } from "./write.js";

export interface UploadOptions {
  /** The name of the user whose the image is to be. */
  user?: string | undefined;
  /** Aborts the upload at once and gives it up, unless `resume` is set; `signal.reason` is thrown. */
  signal?: AbortSignal | undefined;
  /** Called whenever the server has made more bytes durable. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /**
   * Lets another process go on where this one is stopped, by calling upload() again with the same file: what
   * is needed for that is kept in a small file beside it (true), or in this folder. Files only.
   */
  resume?: boolean | string | undefined;
  /** Of the source if known, as 32 bytes or in hexadecimal: the server checks it, and nothing is hashed here. */
  sha256?: Uint8Array | string | undefined;
  /** Bytes of a message; made smaller where the server takes less. Default 1 MiB. */
  chunkSize?: number | undefined;
  /** Milliseconds for the whole upload; without it, it takes as long as there is progress. */
  deadlineMs?: number | undefined;
  /** Milliseconds without progress after which it gives up. Default: those of the client. */
  patienceMs?: number | undefined;
}

const CHUNK_BYTES = 1 << 20;
const GOODBYE_MS = 5_000;

/** Uploads `from` and gives the image as stored. Throws ConexionesError, `signal.reason`, or the source's error. */
export async function upload(rpc: Rpc, from: UploadSource, options: UploadOptions & Times): Promise<Image> {
  const scope = new Scope(options.signal, options.deadlineMs);
  try {
    const source = await openSource(from, scope.signal);
    try {
      return await new Uploading(rpc, source, options, scope.signal).run();
    } finally {
      await source.close();
    }
  } catch (error) {
    throw error instanceof SourceFailure ? error.cause : error;
  } finally {
    scope.close();
  }
}

class Uploading {
  readonly #rpc: Rpc;
  readonly #source: Source;
  readonly #signal: AbortSignal;
  readonly #options: UploadOptions & Times;
  readonly #patience: Patience;
  readonly #resume: ResumeFile | undefined;
  readonly #digest: Digest | KnownDigest;
  #requestId = randomUUID() as string;
  #chunkSize: number;
  #told = -1;
  /**
   * Streams that were opened and never answered: such a one may reach the server late, and fence the stream that
   * came after it.
   */
  #ghosts = 0;

  constructor(rpc: Rpc, source: Source, options: UploadOptions & Times, signal: AbortSignal) {
    const { resume, user = "", chunkSize = CHUNK_BYTES, sha256 } = options;
    if (!Number.isSafeInteger(chunkSize) || chunkSize < 1) throw new RangeError("chunkSize is at least 1 byte.");
    if (resume) {
      if (!source.file) throw new TypeError("Only the upload of a file can be resumed by another process.");
      const facts = { address: rpc.address, user, size: source.size ?? 0 };
      this.#resume = new ResumeFile(source.file, resume, facts);
    }
    this.#rpc = rpc;
    this.#source = source;
    this.#signal = signal;
    this.#options = options;
    this.#patience = new Patience(rpc, options.patienceMs, signal);
    this.#digest = sha256 === undefined ? new Digest(source) : new KnownDigest(sha256);
    this.#chunkSize = chunkSize;
  }

  async run(): Promise<Image> {
    if (this.#resume) this.#requestId = await this.#resume.requestId();
    let upload = await this.#create();
    if (this.#resume && isLost(upload.state)) {
      this.#requestId = await this.#resume.renew();
      upload = await this.#create();
    }
    try {
      const stored = upload.state === Upload_State.OPEN ? await this.#send(upload.id) : this.#outcome(upload);
      await this.#resume?.remove();
      return stored;
    } catch (error) {
      await this.#giveUp(upload.id, error);
      throw error;
    }
  }

  async #create(): Promise<Upload> {
    const { user = "" } = this.#options;
    const { size } = this.#source;
    // Nothing is no size to announce: it is refused as an empty image.
    const request = { requestId: this.#requestId, user, ...(size ? { sizeBytes: BigInt(size) } : {}) };
    const reply = await persistently(this.#patience, () =>
      this.#rpc.unary(UploadService.method.createUpload, request, this.#call),
    );
    return present(reply.upload);
  }

  /** Writes and finishes, again from where the server stands for as long as that helps. */
  async #send(id: string): Promise<Image> {
    for (;;) {
      try {
        const sizeBytes = await this.#write(id);
        const sha256 = this.#digest.result();
        const request = { id, sizeBytes: BigInt(sizeBytes), sha256 };
        const reply = await this.#rpc.unary(UploadService.method.finishUpload, request, this.#call);
        return this.#outcome(present(reply.upload));
      } catch (error) {
        const reason = error instanceof ConexionesError ? error.reason : "";
        if (reason === "UPLOAD_ENDED") return await this.#ended(id, error as ConexionesError);
        if (reason === "MESSAGE_TOO_LARGE" && (await this.#shrink())) continue;
        const byGhost = reason === "WRITER_FENCED" && this.#ghosts > 0;
        if (byGhost) this.#ghosts -= 1;
        await this.#patience.after(error, byGhost);
      }
    }
  }

  get #call(): CallOptions {
    return { signal: this.#signal, timeoutMs: this.#options.timeoutMs };
  }

  /** One stream, from the committed size to the end of the source; gives the size of it all. */
  async #write(id: string): Promise<number> {
    let answered = false;
    this.#ghosts += 1;
    const session = new WriteSession(this.#rpc, id, {
      source: this.#source,
      digest: this.#digest,
      chunkSize: this.#chunkSize,
      timeoutMs: this.#options.timeoutMs,
      signal: this.#signal,
      acknowledged: (bytes) => {
        if (!answered) this.#ghosts -= 1;
        answered = true;
        this.#acknowledged(bytes);
      },
    });
    return await session.run();
  }

  #acknowledged(bytes: number): void {
    if (bytes <= this.#told) return;
    // The first acknowledgement of all says where to begin, which is no progress unless it is the first answer.
    this.#told = bytes;
    this.#patience.progress();
    this.#options.onProgress?.({ bytes, total: this.#source.size });
  }

  /** It ended before it was finished by us: the image was judged by its first bytes, or is there already. */
  async #ended(id: string, error: ConexionesError): Promise<Image> {
    const reply = await persistently(this.#patience, () =>
      this.#rpc.unary(UploadService.method.getUpload, { id }, this.#call),
    );
    return this.#outcome(present(reply.upload), error);
  }

  #outcome({ state, image: stored, failure }: Upload, otherwise?: ConexionesError): Image {
    if (state === Upload_State.READY) return image(stored);
    if (failure) throw errorOfParts(failure.code, failure.message, failure.details);
    const message = `The upload has ended: it is ${Upload_State[state]}.`;
    throw otherwise ?? new ConexionesError({ code: Code.FAILED_PRECONDITION, reason: "UPLOAD_ENDED", message });
  }

  /** The chunks were too large for this server: whether they are smaller now. */
  async #shrink(): Promise<boolean> {
    const limits = await persistently(this.#patience, () =>
      this.#rpc.unary(UploadService.method.getLimits, {}, this.#call),
    );
    const most = Number(limits.maxChunkBytes);
    if (most < 1 || most >= this.#chunkSize) return false;
    this.#chunkSize = most;
    return true;
  }

  /** Leaves nothing behind that nobody will go on with. */
  async #giveUp(id: string, error: unknown): Promise<void> {
    if (this.#resume) {
      // Interrupted, it can go on; refused by the server, it cannot.
      if (error instanceof ConexionesError && !isPassing(error) && !INTERRUPTED.has(error.reason)) {
        await this.#resume.remove();
      }
      return;
    }
    if (error instanceof ConexionesError && (error.reason === "WRITER_FENCED" || !INTERRUPTED.has(error.reason))) return;
    // Not waited for: the caller wants to be gone, and what the server does not hear of expires.
    this.#rpc.unary(UploadService.method.cancelUpload, { id }, { timeoutMs: GOODBYE_MS }).catch(() => undefined);
  }
}

const INTERRUPTED = new Set<string>(["DEADLINE_EXCEEDED", "CANCELLED", "WRITER_FENCED"]);

function isLost(state: Upload_State): boolean {
  return [Upload_State.FAILED, Upload_State.CANCELLED, Upload_State.EXPIRED].includes(state);
}

function present(upload: Upload | undefined): Upload {
  if (!upload) throw new TypeError("The server sent a reply without its upload.");
  return upload;
}
