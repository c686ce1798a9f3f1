// Sends one file over lost connections and restarts of the server, until its upload has ended. Only for workers: a
// `fetch` with a body of megabytes blocks the thread that calls it.
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import type { CallOptions } from "@connectrpc/connect";

import { OffsetMismatchSchema } from "#gen/conexiones/v1/errors_pb";
import { Upload_State, UploadService } from "#gen/conexiones/v1/uploads_pb";
import type { Upload as Message } from "#gen/conexiones/v1/uploads_pb";
import { RequestInfoSchema } from "#gen/google/rpc/error_details_pb";

import { signedIn } from "../access/session";
import { delayAfter, NO_ROOM, pause, problem, transport } from "../calls";
import { language } from "../language";
import { traceparent } from "../traces";
import { crc32c } from "./crc32c";
import { FileFailure, Reader } from "./reader";
import { forget, newId, remember } from "./store";
import type { Remembered } from "./store";

/** "locked": it goes on when somebody has signed in. "slowed": it went over the rate of the credential. */
export type Phase = "checking" | "sending" | "finishing" | "unreachable" | "busy" | "locked" | "slowed";

export type Outcome =
  | { state: "ready"; imageId: string }
  /** `reason` is the server's stable reason, or "", and `callId` that of the call that was refused, or "". */
  | { state: "refused"; reason: string; message: string; callId: string }
  /** The file has changed, or cannot be read. */
  | { state: "unreadable" }
  /** Another window has taken the upload. */
  | { state: "elsewhere" }
  | { state: "stopped" };

/** What the page hears about a transfer. The handle of the file is not sent back. */
export interface Listener {
  phase: (phase: Phase) => void;
  progress: (known: Progress) => void;
}

export type Progress = Pick<Remembered, "requestId" | "committed" | "touched" | "saved"> & { uploadId: string };

/** Bytes of the first chunk. */
const FIRST_CHUNK = 2 << 20;
/** Bytes of the smallest chunk. */
const SMALLEST_CHUNK = 1 << 18;
/** Bytes of the largest chunk. */
const LARGEST_CHUNK = 8 << 20;
/** Bytes of a block of SHA-256. Its state can be saved only between blocks. */
const BLOCK = 64;
/** If a chunk takes less time than this, the next one is larger, so that the latency of a call matters less. */
const FAST_MS = 1_500;
/** If a chunk takes more time than this, the next one is smaller, so that less is lost when the connection breaks. */
const SLOW_MS = 6_000;
/** How long one call may take. */
const TIMEOUT_MS = 60_000;

const service = createClient(UploadService, transport);

/** What the server takes, in bytes. */
interface Limits {
  /** The largest chunk. */
  chunk: number;
  /** The largest image that is stored by one call. */
  small: number;
}

let known: Promise<Limits> | undefined;

async function limits(): Promise<Limits> {
  known ??= service.getLimits({}).then(
    ({ maxChunkBytes, maxSmallBytes }) => ({
      chunk: Math.max(BLOCK, Math.min(LARGEST_CHUNK, Number(maxChunkBytes))),
      small: Number(maxSmallBytes),
    }),
    (error: unknown) => {
      known = undefined;
      throw error;
    },
  );
  return await known;
}

let turn: Promise<unknown> = Promise.resolve();

/** One call of this worker at a time, because a browser opens only a few connections to a server. */
async function inTurn<T>(call: () => Promise<T>): Promise<T> {
  const result = turn.then(call);
  turn = result.catch(() => undefined);
  return await result;
}

/** Why an image goes the long way although it is small: the server does not take it by one call, or an upload of it was
 *  begun before. */
const LONG_WAY = new Set(["IMAGE_NOT_SMALL", "MESSAGE_TOO_LARGE", "REQUEST_ID_REUSED"]);

export class Transfer {
  readonly #remembered: Remembered;
  readonly #file: Blob;
  readonly #reader: Reader;
  readonly #signal: AbortSignal;
  readonly #trace: string;
  readonly #listener: Listener;
  #uploadId = "";
  #chunk = FIRST_CHUNK;
  /** Whether the image goes in chunks, although it is small. */
  #long = false;
  #kept = false;

  constructor(remembered: Remembered, file: Blob, trace: string, signal: AbortSignal, listener: Listener) {
    this.#trace = trace;
    this.#remembered = remembered;
    this.#file = file;
    this.#reader = new Reader(file, remembered.saved, signal);
    this.#signal = signal;
    this.#listener = listener;
  }

  /** Sends, and retries for as long as that may help. Never rejects. */
  async run(): Promise<Outcome> {
    for (let attempts = 0; !this.#signal.aborted; attempts++) {
      const before = this.#remembered.committed;
      try {
        return (await this.#sendWhole()) ?? outcome(await this.#send());
      } catch (error) {
        if (this.#signal.aborted) break;
        if (this.#remembered.committed > before) attempts = 0;
        const end = await this.#after(error, attempts);
        if (end) return end;
      }
    }
    return { state: "stopped" };
  }

  /** The outcome if a retry does not help. Otherwise waits first, if the server is unreachable or busy. */
  async #after(error: unknown, attempts: number): Promise<Outcome | undefined> {
    if (error instanceof FileFailure) return { state: "unreadable" };
    const { reason, message, retryable, retryAfter, callId, error: cause } = problem(error);
    const refused: Outcome = { state: "refused", reason, message, callId };
    switch (reason) {
      case "OFFSET_MISMATCH":
        this.#commit(Number(cause.findDetails(OffsetMismatchSchema)[0]?.expectedOffset ?? 0));
        return attempts < 10 ? undefined : refused;
      case "UPLOAD_ENDED":
        return undefined; // the next attempt asks for the outcome
      case "UPLOAD_NOT_FOUND":
      case "REQUEST_ID_REUSED":
        await this.#renew();
        return attempts < 3 ? undefined : refused;
      case "WRITER_FENCED":
        return { state: "elsewhere" };
    }
    if (cause.code === Code.Unauthenticated) {
      this.#listener.phase("locked");
      await signedIn(this.#signal).catch(() => undefined);
      return undefined;
    }
    if (!retryable) return refused;
    if (reason === "RATE_EXCEEDED") {
      this.#listener.phase("slowed");
      await pause(Math.max(retryAfter, delayAfter(attempts)), this.#signal).catch(() => undefined);
      return undefined;
    }
    this.#chunk = Math.max(SMALLEST_CHUNK, this.#chunk >> 1);
    this.#listener.phase(NO_ROOM.has(reason) || reason === "SERVER_BUSY" ? "busy" : "unreachable");
    await pause(Math.max(retryAfter, delayAfter(attempts)), this.#signal).catch(() => undefined);
    return undefined;
  }

  /** Stores a small image by one call. Undefined if the image has to go in chunks. Nothing is remembered for a later
   *  page: there is nothing of which a part is stored. */
  async #sendWhole(): Promise<Outcome | undefined> {
    const { requestId, size, committed, sentName: name = "" } = this.#remembered;
    if (this.#long || committed > 0 || size > (await limits()).small) return undefined;
    const image = await whole(this.#file, size);
    try {
      const request = { requestId, image, name, crc32c: crc32c(image) };
      const reply = await inTurn(() => service.uploadImage(request, this.#options(TIMEOUT_MS)));
      return { state: "ready", imageId: reply.image?.id ?? "" };
    } catch (error) {
      const { code, reason } = problem(error);
      if (!LONG_WAY.has(reason) && code !== Code.Unimplemented) throw error;
      this.#long = true;
      return undefined;
    }
  }

  /** Sends from the committed size to the end, and returns the upload as it ended. */
  async #send(): Promise<Message> {
    if (!this.#kept) await remember(this.#remembered);
    this.#kept = true;
    let upload = await this.#create();
    if ([Upload_State.FAILED, Upload_State.CANCELLED, Upload_State.EXPIRED].includes(upload.state)) {
      await this.#renew();
      upload = await this.#create();
    }
    this.#uploadId = upload.id;
    this.#commit(Number(upload.committedSize));
    if (upload.state !== Upload_State.OPEN) return upload;
    await this.#write(upload.id);
    const { size } = this.#remembered;
    const sha256 = await this.#reader.sha256(size);
    this.#listener.phase("finishing");
    const finished = await service.finishUpload({ id: upload.id, sizeBytes: BigInt(size), sha256 }, this.#options());
    return present(finished.upload);
  }

  async #create(): Promise<Message> {
    const { requestId, size, sentName = "" } = this.#remembered;
    const request = { requestId, sizeBytes: BigInt(size), name: sentName };
    const reply = await service.createUpload(request, this.#options(TIMEOUT_MS));
    return present(reply.upload);
  }

  /** Writes chunk after chunk. While one is being sent, the next is read. */
  async #write(uploadId: string): Promise<void> {
    const { chunk: largest } = await limits();
    const { size } = this.#remembered;
    const read = (offset: number) => {
      const wanted = Math.min(this.#chunk, largest);
      return this.#reader.read(offset, Math.min(wanted >= BLOCK ? wanted - (wanted % BLOCK) : wanted, size - offset));
    };
    let writerEpoch = 0n;
    let offset = this.#remembered.committed;
    let next = offset < size ? read(offset) : undefined;
    while (next) {
      const { data, crc32c, saved } = await next;
      this.#listener.phase("sending");
      const end = offset + data.length;
      next = end < size ? read(end) : undefined;
      next?.catch(() => undefined); // an error is thrown when `next` is awaited
      const start = performance.now();
      const request = { uploadId, writerEpoch, offset: BigInt(offset), data, crc32c };
      const reply = await service.writeChunk(request, this.#options(TIMEOUT_MS));
      this.#measure(performance.now() - start);
      writerEpoch = reply.writerEpoch;
      offset = Number(reply.committedSize);
      if (saved) this.#remembered.saved = saved;
      this.#remembered.touched = Date.now();
      this.#commit(offset);
      await remember(this.#remembered);
      if (offset !== end) next = offset < size ? read(offset) : undefined;
    }
  }

  #options(timeoutMs?: number): CallOptions {
    const headers = { traceparent: traceparent(this.#trace) };
    return { signal: this.#signal, headers, ...(timeoutMs && { timeoutMs }) };
  }

  #measure(milliseconds: number): void {
    if (milliseconds < FAST_MS) this.#chunk = Math.min(LARGEST_CHUNK, 2 * this.#chunk);
    else if (milliseconds > SLOW_MS) this.#chunk = Math.max(SMALLEST_CHUNK, this.#chunk >> 1);
  }

  #commit(size: number): void {
    this.#remembered.committed = size;
    const { requestId, committed, touched = 0, saved } = this.#remembered;
    this.#listener.progress({ requestId, committed, touched, saved, uploadId: this.#uploadId });
  }

  /** Begins another upload of the same file, because the one before cannot be continued. */
  async #renew(): Promise<void> {
    await forget(this.#remembered.requestId);
    Object.assign(this.#remembered, { requestId: newId(), begun: Date.now(), touched: Date.now() });
    this.#uploadId = "";
    this.#commit(0);
    await remember(this.#remembered);
  }
}

/** All bytes of the file. Throws FileFailure if it cannot be read, or has changed. */
async function whole(file: Blob, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await file.arrayBuffer().catch(() => undefined);
  if (bytes?.byteLength !== size) throw new FileFailure();
  return new Uint8Array(bytes);
}

function outcome({ state, image, failure }: Message): Outcome {
  if (state === Upload_State.READY) return { state: "ready", imageId: image?.id ?? "" };
  const { reason = Upload_State[state], message = "", mensaje = "", details = [] } = failure ?? {};
  const callId = details.map((detail) => anyUnpack(detail, RequestInfoSchema)?.requestId).find(Boolean) ?? "";
  return { state: "refused", reason, message: (language === "es" && mensaje) || message, callId };
}

function present(upload: Message | undefined): Message {
  if (!upload) throw new TypeError("The server sent a reply without its upload.");
  return upload;
}
