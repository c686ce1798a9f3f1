// One upload, which continues over lost connections, restarts of the server and reloads until the image is stored.
import { anyUnpack } from "@bufbuild/protobuf/wkt";

import { Upload_State } from "#gen/conexiones/v1/uploads_pb";
import type { Upload as Message } from "#gen/conexiones/v1/uploads_pb";
import { OffsetMismatchSchema } from "#gen/conexiones/v1/errors_pb";
import type { Image } from "#gen/conexiones/v1/images_pb";
import { LocalizedMessageSchema } from "#gen/google/rpc/error_details_pb";

import { language, t } from "../i18n";
import { delayAfter, pause, problem, uploads as service } from "../rpc";
import { Digest, FileFailure } from "./digest";
import { TransferRate } from "./rate";
import { forget, remember } from "./store";
import type { Remembered } from "./store";

export type State =
  | "waiting"
  | "checking"
  | "sending"
  | "finishing"
  | "unreachable"
  | "paused"
  | "interrupted"
  | "elsewhere"
  | "ready"
  | "refused"
  | "cancelled";

const ACTIVE: ReadonlySet<State> = new Set(["checking", "sending", "finishing", "unreachable"]);
const ENDED: ReadonlySet<State> = new Set(["ready", "refused", "cancelled"]);

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

let limits: Promise<number> | undefined;

/** Bytes of the largest chunk that the server takes. */
async function largestChunk(): Promise<number> {
  limits ??= service.getLimits({}).then(
    ({ maxChunkBytes }) => Math.max(BLOCK, Math.min(LARGEST_CHUNK, Number(maxChunkBytes))),
    (error: unknown) => {
      limits = undefined;
      throw error;
    },
  );
  return await limits;
}

export class Upload {
  state: State = "waiting";
  /** Why the upload was refused: the server's stable reason, or "", and a sentence. */
  failure: { reason: string; message: string } | undefined;
  image: Image | undefined;
  readonly rate = new TransferRate();
  readonly remembered: Remembered;
  #file: File | undefined;
  #controller: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();
  #uploadId: string | undefined;
  #chunk = FIRST_CHUNK;
  readonly #changed: () => void;

  /** `changed` is called after every change. Without a file, this is an upload of an earlier page, interrupted. */
  constructor(remembered: Remembered, file: File | undefined, changed: () => void) {
    this.remembered = remembered;
    this.#file = file;
    this.#changed = changed;
    if (!file) this.state = "interrupted";
  }

  get name(): string {
    return this.remembered.name;
  }

  get size(): number {
    return this.remembered.size;
  }

  get committed(): number {
    return this.remembered.committed;
  }

  get active(): boolean {
    return ACTIVE.has(this.state);
  }

  get ended(): boolean {
    return ENDED.has(this.state);
  }

  isOf(file: File): boolean {
    const { name, size, modified } = this.remembered;
    return file.name === name && file.size === size && file.lastModified === modified;
  }

  /** Gives an interrupted upload its file again, so that it may continue. */
  attach(file: File): void {
    this.#file = file;
    if (this.state === "interrupted") this.#become("waiting");
  }

  /** Sends until the image is stored or refused, or the upload is paused or cancelled. Never rejects. */
  async run(): Promise<void> {
    const file = this.#file;
    if (!file || this.active || this.ended) return;
    const controller = (this.#controller = new AbortController());
    this.failure = undefined;
    this.#become("checking");
    // If the upload was paused a moment ago, the earlier run has to end first.
    this.#running = this.#running.then(() => this.#run(file, controller));
    await this.#running;
  }

  async #run(file: File, controller: AbortController): Promise<void> {
    if (controller.signal.aborted) return;
    await remember(this.remembered);
    await alone(this.remembered.requestId, async (free) => {
      if (!free) return this.#become("elsewhere");
      const digest = new Digest(file, this.remembered.saved);
      controller.signal.addEventListener("abort", () => digest.close());
      try {
        await this.#persist(digest, controller.signal);
      } catch (error) {
        if (!controller.signal.aborted) this.#refuse("", String(error));
      } finally {
        digest.close();
      }
    });
  }

  pause(): void {
    if (this.ended) return;
    this.#controller?.abort();
    this.rate.stop();
    this.#become("paused");
  }

  /** Lets a paused upload wait for its turn again. */
  requeue(): void {
    if (this.#file && (this.state === "paused" || this.state === "elsewhere")) this.#become("waiting");
  }

  async cancel(): Promise<void> {
    if (this.ended) return;
    this.#controller?.abort();
    this.#become("cancelled");
    await forget(this.remembered.requestId);
    try {
      // If an earlier page created the upload, its id is unknown here: the same request returns it.
      const id = this.#uploadId ?? (await this.#create(AbortSignal.timeout(TIMEOUT_MS))).id;
      await service.cancelUpload({ id });
    } catch {
      // If the server does not hear of it, the upload expires.
    }
  }

  /** Sends, and retries for as long as that may help. */
  async #persist(digest: Digest, signal: AbortSignal): Promise<void> {
    for (let attempts = 0; !signal.aborted; attempts++) {
      const before = this.committed;
      try {
        this.#settle(await this.#send(digest, signal));
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (this.committed > before) attempts = 0;
        if (!(await this.#shouldRetry(error, attempts, signal))) return;
      }
    }
  }

  /** Whether to retry after this error. Waits first, if the server is unreachable or busy. */
  async #shouldRetry(error: unknown, attempts: number, signal: AbortSignal): Promise<boolean> {
    if (error instanceof FileFailure) {
      this.#become("interrupted");
      this.#file = undefined;
      this.failure = { reason: "FILE_CHANGED", message: t("changed") };
      return false;
    }
    const { reason, message, retryable, error: cause } = problem(error);
    switch (reason) {
      case "OFFSET_MISMATCH":
        this.#commit(Number(cause.findDetails(OffsetMismatchSchema)[0]?.expectedOffset ?? 0));
        return attempts < 10;
      case "UPLOAD_ENDED":
        return true; // the next attempt asks for the outcome
      case "UPLOAD_NOT_FOUND":
      case "REQUEST_ID_REUSED":
        await this.#renew();
        return attempts < 3;
      case "WRITER_FENCED":
        this.rate.stop();
        this.#become("elsewhere");
        return false;
    }
    if (!retryable) {
      this.#refuse(reason, message);
      return false;
    }
    this.#chunk = Math.max(SMALLEST_CHUNK, this.#chunk >> 1);
    this.rate.stop();
    this.#become("unreachable");
    try {
      await pause(delayAfter(attempts), signal);
      return true;
    } catch {
      return false;
    }
  }

  /** Sends from the committed size to the end, and returns the upload as it ended. */
  async #send(digest: Digest, signal: AbortSignal): Promise<Message> {
    let upload = await this.#create(signal);
    if ([Upload_State.FAILED, Upload_State.CANCELLED, Upload_State.EXPIRED].includes(upload.state)) {
      await this.#renew();
      upload = await this.#create(signal);
    }
    this.#uploadId = upload.id;
    this.#commit(Number(upload.committedSize));
    if (upload.state !== Upload_State.OPEN) return upload;
    await this.#write(upload.id, digest, signal);
    const sha256 = await digest.sha256(this.size);
    signal.throwIfAborted();
    this.#become("finishing");
    const finished = await service.finishUpload({ id: upload.id, sizeBytes: BigInt(this.size), sha256 }, { signal });
    return present(finished.upload);
  }

  async #create(signal: AbortSignal): Promise<Message> {
    const { requestId, size } = this.remembered;
    const reply = await service.createUpload({ requestId, sizeBytes: BigInt(size) }, { signal, timeoutMs: TIMEOUT_MS });
    return present(reply.upload);
  }

  /** Writes chunk after chunk. While one is being sent, the next is read. */
  async #write(uploadId: string, digest: Digest, signal: AbortSignal): Promise<void> {
    const largest = await largestChunk();
    const read = (offset: number) => {
      const size = Math.min(this.#chunk, largest);
      return digest.read(offset, Math.min(size >= BLOCK ? size - (size % BLOCK) : size, this.size - offset));
    };
    let writerEpoch = 0n;
    let offset = this.committed;
    this.rate.start(offset);
    let next = offset < this.size ? read(offset) : undefined;
    while (next) {
      const { data, crc32c, saved } = await next;
      signal.throwIfAborted();
      this.#become("sending");
      const end = offset + data.length;
      next = end < this.size ? read(end) : undefined;
      next?.catch(() => undefined); // an error is thrown when `next` is awaited
      const start = performance.now();
      const request = { uploadId, writerEpoch, offset: BigInt(offset), data, crc32c };
      const reply = await service.writeChunk(request, { signal, timeoutMs: TIMEOUT_MS });
      this.#measure(performance.now() - start);
      writerEpoch = reply.writerEpoch;
      offset = Number(reply.committedSize);
      if (saved) this.remembered.saved = saved;
      this.#commit(offset);
      this.rate.reached(offset);
      await remember(this.remembered);
      if (offset !== end) next = offset < this.size ? read(offset) : undefined;
    }
  }

  #measure(milliseconds: number): void {
    if (milliseconds < FAST_MS) this.#chunk = Math.min(LARGEST_CHUNK, 2 * this.#chunk);
    else if (milliseconds > SLOW_MS) this.#chunk = Math.max(SMALLEST_CHUNK, this.#chunk >> 1);
  }

  #commit(size: number): void {
    this.remembered.committed = size;
    this.#changed();
  }

  /** Begins another upload of the same file, because the one before cannot be continued. */
  async #renew(): Promise<void> {
    await forget(this.remembered.requestId);
    this.remembered.requestId = newId();
    this.remembered.committed = 0;
    await remember(this.remembered);
  }

  #settle(upload: Message): void {
    void forget(this.remembered.requestId);
    this.#file = undefined;
    if (upload.state === Upload_State.READY) {
      this.image = upload.image;
      this.#become("ready");
      return;
    }
    const { reason = Upload_State[upload.state], message = "", details = [] } = upload.failure ?? {};
    const local = details.map((detail) => anyUnpack(detail, LocalizedMessageSchema)).find((found) => found?.locale === language);
    this.#refuse(reason, local?.message ?? message);
  }

  #refuse(reason: string, message: string): void {
    void forget(this.remembered.requestId);
    this.failure = { reason, message };
    this.#become("refused");
  }

  #become(state: State): void {
    if (this.state === state) return;
    this.state = state;
    this.#changed();
  }
}

/** Runs `work` under a lock of that name. `work` is told whether the lock was free or another window holds it. */
async function alone(name: string, work: (free: boolean) => Promise<void> | void): Promise<void> {
  // Without locks (plain HTTP from another machine) the server's fencing alone decides.
  if (!("locks" in navigator)) return await work(true);
  await navigator.locks.request(`conexiones.upload.${name}`, { ifAvailable: true }, (lock) => work(lock !== null));
}

/** 128 random bits as text. `crypto.randomUUID` exists only in secure contexts. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function present(upload: Message | undefined): Message {
  if (!upload) throw new TypeError("The server sent a reply without its upload.");
  return upload;
}
