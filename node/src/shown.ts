// What a client shows of itself with every call: a token, the one in a file, or nothing.
import { Metadata } from "@grpc/grpc-js";

import { isStale } from "./errors.js";
import type { ConexionesError } from "./errors.js";
import { readSecret, readSecretNow } from "./secrets.js";
import type { Secret } from "./secrets.js";

/** The token of a client. If it comes from a file, this is read again when the server does not take the token any more. */
export class Shown {
  readonly #file: string | undefined;
  #secret: Secret | undefined;
  #reading: Promise<void> | undefined;
  /** With each error for a stale token, whether there is another token than the one that was sent. */
  readonly #renewals = new WeakMap<ConexionesError, Promise<boolean>>();

  /** Reads the file. Throws the error of the file system, and TOKEN_MISTYPED. */
  constructor(secret: Secret | undefined, file: string | undefined) {
    this.#file = file;
    this.#secret = secret ?? (file === undefined ? undefined : readSecretNow(file));
  }

  /** The token that calls show now. */
  get secret(): Secret | undefined {
    return this.#secret;
  }

  metadata(): Metadata {
    const metadata = new Metadata();
    if (this.#secret) metadata.set("authorization", `Bearer ${this.#secret.reveal()}`);
    return metadata;
  }

  /** To be told of every error of a call that had sent this token. Begins to read the file again if that may help. */
  failed(error: ConexionesError, sent: Secret | undefined): void {
    if (this.#file !== undefined && isStale(error)) this.#renewals.set(error, this.#renew(this.#file, sent));
  }

  /** Whether a call that failed may be made again, since there is another token by now. */
  async renewed(error: unknown): Promise<boolean> {
    return isStale(error) && ((await this.#renewals.get(error)) ?? false);
  }

  async #renew(file: string, sent: Secret | undefined): Promise<boolean> {
    if (this.#secret?.equals(sent)) {
      // Many calls may fail at once: one of them reads.
      this.#reading ??= this.#read(file).finally(() => (this.#reading = undefined));
      await this.#reading;
    }
    return this.#secret !== undefined && !this.#secret.equals(sent);
  }

  async #read(file: string): Promise<void> {
    try {
      this.#secret = await readSecret(file);
    } catch {
      // The file is gone, or has no token. What the server said of the old one says more.
    }
  }
}
