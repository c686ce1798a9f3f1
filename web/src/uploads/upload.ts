// One upload, as the page sees it: its state and what the user can do with it. A worker sends it (transfer.ts).
import { refused } from "../access/session";
import { uploads as service } from "../rpc";
import { t } from "../i18n";
import { currentTrace } from "../traces";
import { fileName } from "./names";
import type { Pool } from "./pool";
import { TransferRate } from "./rate";
import { forget, newId } from "./store";
import type { Remembered } from "./store";
import type { Outcome, Phase } from "./transfer";

export type State =
  | Phase
  | "waiting"
  | "paused"
  | "interrupted"
  | "elsewhere"
  | "ready"
  | "refused"
  | "cancelled";

export const ACTIVE: readonly State[] = ["checking", "sending", "finishing", "unreachable", "busy", "locked", "slowed"];
/** It goes on when the user says so. */
export const STOPPED: readonly State[] = ["paused", "interrupted", "elsewhere"];
export const FAILED: readonly State[] = ["refused", "cancelled"];

const MOVING = new Set<Phase>(["checking", "sending", "finishing"]);

/** How long the call that cancels may take. */
const TIMEOUT_MS = 60_000;
/** Bytes up to which an image is usually stored by one call, without being remembered. */
export const SMALL = 1 << 20;

export class Upload {
  /** Why the upload was refused: the server's stable reason, or "", a sentence, and the id of the call. */
  failure: { reason: string; message: string; callId?: string } | undefined;
  /** The id of the stored image; empty before. */
  imageId = "";
  readonly rate = new TransferRate();
  readonly remembered: Remembered;
  /** Of the action that began it, or has it go on. */
  #trace = currentTrace();
  #state: State = "waiting";
  #file: File | undefined;
  #controller: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();
  #uploadId = "";
  /** Whether the server may know it. */
  #begun = false;
  /** Whether it is remembered for a later page. */
  #kept = false;
  readonly #changed: (upload: Upload, before: State) => void;

  /** `changed` is called after every change. Without a file, this is an upload of an earlier page, interrupted. */
  constructor(remembered: Remembered, file: File | undefined, changed: (upload: Upload, before: State) => void) {
    this.remembered = remembered;
    this.#file = file;
    this.#changed = changed;
    if (file) return;
    this.#state = "interrupted";
    this.#begun = this.#kept = true;
  }

  /** A new upload of a file, by whoever is signed in. */
  static of(file: File, handle: FileSystemFileHandle | undefined, by: string, changed: (upload: Upload, before: State) => void): Upload {
    const { name, size, lastModified: modified } = file;
    const now = Date.now();
    const facts = { name, sentName: fileName(name), size, modified, by, begun: now, touched: now, committed: 0 };
    return new Upload({ requestId: newId(), ...facts, saved: undefined, handle }, file, changed);
  }

  get state(): State {
    return this.#state;
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
    return ACTIVE.includes(this.state);
  }

  get ended(): boolean {
    return this.state === "ready" || FAILED.includes(this.state);
  }

  isOf(file: File): boolean {
    const { name, size, modified } = this.remembered;
    return file.name === name && file.size === size && file.lastModified === modified;
  }

  /** Gives an interrupted upload its file again, so that it may continue. */
  attach(file: File): void {
    this.#trace = currentTrace();
    this.#file = file;
    this.failure = undefined;
    if (this.state === "interrupted") this.#become("waiting");
  }

  /** Sends until the image is stored or refused, or the upload is paused or cancelled. Never rejects. */
  async run(pool: Pool): Promise<void> {
    const file = this.#file;
    if (!file || this.active || this.ended) return;
    if (file.size === 0) return this.#refuse("EMPTY_IMAGE", t("emptyFile"));
    const controller = (this.#controller = new AbortController());
    this.failure = undefined;
    this.#become("checking");
    // If the upload was paused a moment ago, the earlier run has to end first.
    this.#running = this.#running.then(() => this.#run(pool, file, controller.signal));
    await this.#running;
  }

  async #run(pool: Pool, file: File, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    // What no later page may know, no other window can have.
    const lock = this.#kept || file.size > SMALL ? alone : unlocked;
    await lock(this.remembered.requestId, async (free) => {
      if (signal.aborted) return;
      if (!free) return this.#become("elsewhere");
      this.#begun = true;
      const found = await pool.send(this.remembered, file, this.#trace, signal, {
        phase: (phase) => this.#reach(phase),
        progress: ({ requestId, committed, touched, saved, uploadId }) => {
          this.#uploadId = uploadId;
          this.#kept = true;
          Object.assign(this.remembered, { requestId, committed, touched, saved });
          if (this.state === "sending") this.rate.reached(committed);
          this.#changed(this, this.state);
        },
      });
      if (!signal.aborted) this.#settle(found);
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
    this.#trace = currentTrace();
    if (this.#file && (this.state === "paused" || this.state === "elsewhere")) this.#become("waiting");
  }

  /** Whether `retry` does anything: not if the file is empty, or of an earlier page. */
  get retryable(): boolean {
    return FAILED.includes(this.state) && this.#file !== undefined && this.size > 0;
  }

  /** Begins an upload again that was refused or cancelled. */
  retry(): void {
    if (!this.retryable) return;
    const now = Date.now();
    this.#trace = currentTrace();
    Object.assign(this.remembered, { requestId: newId(), begun: now, touched: now, committed: 0, saved: undefined });
    this.failure = undefined;
    this.#uploadId = "";
    this.#begun = false;
    this.#become("waiting");
  }

  async cancel(): Promise<void> {
    if (this.ended) return;
    this.#controller?.abort();
    this.#become("cancelled");
    if (!this.#begun) return;
    const { requestId, size, sentName = "" } = this.remembered;
    let id = this.#uploadId;
    await this.#running; // what the worker still remembers would else be remembered for ever
    await forget(requestId);
    try {
      const options = { timeoutMs: TIMEOUT_MS };
      // If an earlier page created the upload, its id is unknown here: the same request returns it.
      id ||= (await service.createUpload({ requestId, sizeBytes: BigInt(size), name: sentName }, options)).upload?.id ?? "";
      await service.cancelUpload({ id }, options);
    } catch {
      // If the server does not hear of it, the upload expires.
    }
  }

  #reach(phase: Phase): void {
    if (phase === "sending" && this.state !== "sending") this.rate.start(this.committed);
    else if (!MOVING.has(phase)) this.rate.stop();
    if (phase === "locked" && this.state !== "locked") refused();
    this.#become(phase);
  }

  #settle(found: Outcome): void {
    switch (found.state) {
      case "ready":
        this.#forget();
        this.#file = undefined;
        this.imageId = found.imageId;
        return this.#become("ready");
      case "refused":
        this.#forget();
        return this.#refuse(found.reason, found.message, found.callId);
      case "unreadable":
        this.#file = undefined;
        this.failure = { reason: "FILE_CHANGED", message: t("changed") };
        return this.#become("interrupted");
      case "elsewhere":
        this.rate.stop();
        return this.#become("elsewhere");
    }
  }

  #forget(): void {
    if (this.#kept) void forget(this.remembered.requestId);
  }

  #refuse(reason: string, message: string, callId = ""): void {
    this.failure = { reason, message, callId };
    this.#become("refused");
  }

  #become(state: State): void {
    const before = this.#state;
    if (before === state) return;
    this.#state = state;
    this.#changed(this, before);
  }
}

async function unlocked(_name: string, work: (free: boolean) => Promise<void> | void): Promise<void> {
  await work(true);
}

/** Runs `work` under a lock of that name. `work` is told whether the lock was free or another window holds it. */
async function alone(name: string, work: (free: boolean) => Promise<void> | void): Promise<void> {
  // Without locks (plain HTTP from another machine) the server's fencing alone decides.
  if (!("locks" in navigator)) return await work(true);
  await navigator.locks.request(`conexiones.upload.${name}`, { ifAvailable: true }, (lock) => work(lock !== null));
}
