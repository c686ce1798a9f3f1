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
  /** Errors for a stale token, after which there was another one than was sent. */
  readonly #renewed = new WeakSet<ConexionesError>();

  /** Reads the file. Throws the error of the file system, and TOKEN_MISTYPED. */
  constructor(secret: Secret | undefined, file: string | undefined) {
    this.#file = file;
    this.#secret = secret ?? (file === undefined ? undefined : readSecretNow(file));
  }

  /** The token that calls show now. */
  get secret(): Secret | undefined {
    return this.#secret;
  }

  /** The same for gRPC and for HTTP. */
  headers(): { authorization?: string } {
    return this.#secret ? { authorization: `Bearer ${this.#secret.reveal()}` } : {};
  }

  metadata(): Metadata {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(this.headers())) metadata.set(name, value);
    return metadata;
  }

  /** To be told of every error of a call that had sent this token. Reads the file again if that may help. */
  async failed(error: ConexionesError, sent: Secret | undefined): Promise<void> {
    if (this.#file === undefined || !isStale(error)) return;
    if (this.#secret?.equals(sent)) {
      // Many calls may fail at once: one of them reads.
      this.#reading ??= this.#read(this.#file).finally(() => (this.#reading = undefined));
      await this.#reading;
    }
    if (!this.#secret?.equals(sent)) this.#renewed.add(error);
  }

  /** Whether a call that failed may be made again, since there is another token by now. */
  renewed(error: unknown): boolean {
    return isStale(error) && this.#renewed.has(error);
  }

  async #read(file: string): Promise<void> {
    try {
      this.#secret = await readSecret(file);
    } catch {
      // The file is gone, or has no token. What the server said of the old one says more.
    }
  }
}
