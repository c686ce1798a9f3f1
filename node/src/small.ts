// Images that are small enough for one message: what both calls for them, UploadImage and UploadImages, have in common.
import { createHash, randomUUID } from "node:crypto";

import crc32 from "@node-rs/crc32";

import { retrying } from "./backoff.js";
import type { Backoff } from "./backoff.js";
import { digestOf } from "./digest.js";
import { AccessError, Code, ConexionesError, makeError } from "./errors.js";
import type { Image as ImageMessage } from "./gen/conexiones/v1/images_pb.js";
import { UploadService } from "./gen/conexiones/v1/uploads_pb.js";
import { image as imageOf } from "./images.js";
import type { Image } from "./images.js";
import type { CallOptions, Rpc } from "./rpc.js";
import { unlessAborted } from "./scope.js";
import type { Source } from "./sources.js";

/** How long the server's limit is remembered. A server may be replaced by one of another version. */
const REMEMBER_MS = 300_000;
/** How often an image is sent again whose bytes were damaged on their way. */
const DAMAGES = 5;

/** How large an image may be to be stored by one call. Asked of the server, and remembered for a while. */
export class SmallLimit {
  #bytes = 0;
  #until = 0;

  /** In bytes; 0 if the server has no such call. */
  async get(rpc: Rpc, backoff: Backoff, call: CallOptions): Promise<number> {
    if (performance.now() < this.#until) return this.#bytes;
    let bytes = 0;
    try {
      const limits = await retrying(backoff, () => rpc.unary(UploadService.method.getLimits, {}, call));
      bytes = Number(limits.maxSmallBytes);
    } catch (error) {
      // Whoever may not ask, or asks a server that is too old, may still upload.
      if (!(error instanceof AccessError) && !isOld(error)) throw error;
    }
    this.#remember(bytes);
    return bytes;
  }

  /** The server does not take such images any more. */
  forget(): void {
    this.#remember(0);
  }

  #remember(bytes: number): void {
    this.#bytes = bytes;
    this.#until = performance.now() + REMEMBER_MS;
  }
}

/** The fields that UploadImageRequest and UploadImagesRequest both have. */
interface SmallRequest {
  requestId: string;
  image: Uint8Array;
  user: string;
  name: string;
  sha256?: Uint8Array;
  crc32c: number;
}

/** One image on its way. What is sent again has the same `requestId`, so that it is stored once. */
export class Small {
  readonly requestId: string;
  readonly bytes: Uint8Array;
  readonly #facts: { user: string; name: string };
  readonly #given: Uint8Array | undefined;
  readonly #sha256: Uint8Array;
  #damages = 0;

  constructor(
    bytes: Uint8Array,
    facts: { user: string; name: string; sha256?: Uint8Array | string | undefined; requestId?: string },
  ) {
    const { user, name, sha256, requestId = randomUUID() } = facts;
    this.requestId = requestId;
    this.bytes = bytes;
    this.#facts = { user, name };
    this.#given = sha256 === undefined ? undefined : digestOf(sha256);
    this.#sha256 = this.#given ?? hash(bytes);
  }

  /** The request of either call. */
  get request(): SmallRequest {
    const { requestId, bytes: image } = this;
    return {
      ...{ requestId, image, ...this.#facts, crc32c: crc32.crc32c(image) },
      ...(this.#given && { sha256: this.#given }),
    };
  }

  /** The image as stored. Throws CHECKSUM_MISMATCH if it is not the one that was sent. */
  stored(message: ImageMessage | undefined): Image {
    const image = imageOf(message);
    checkStored(image, { size: this.bytes.length, sha256: this.#sha256 });
    return image;
  }

  /** Whether sending the same bytes again cannot help, because it is not their way that damages them. */
  hopeless(error: unknown): boolean {
    if (!(error instanceof ConexionesError) || error.reason !== "CHECKSUM_MISMATCH") return false;
    this.#damages += 1;
    return this.#damages > DAMAGES || !hash(this.bytes).equals(this.#sha256);
  }
}

/** Throws CHECKSUM_MISMATCH if the server says that it has stored other bytes. */
export function checkStored(image: Image, sent: { size: number | undefined; sha256: Uint8Array | undefined }): void {
  const { size = image.sizeBytes, sha256 = image.sha256 } = sent;
  if (image.sizeBytes === size && Buffer.compare(image.sha256, sha256) === 0) return;
  const message = "The server has stored other bytes than those that were sent.";
  const facts = { algorithm: "SHA-256", expected: Buffer.from(sha256).toString("hex"), actual: Buffer.from(image.sha256).toString("hex") };
  throw makeError({ code: Code.DATA_LOSS, reason: "CHECKSUM_MISMATCH", message, facts });
}

/** All bytes of a source that has at most `most` of them and tells so beforehand; undefined of any other. */
export async function readSmall(source: Source, most: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
  const { size } = source;
  if (!size || size > most) return undefined;
  // One byte more, to see whether a stream keeps to the size that was announced for it.
  const bytes = await unlessAborted(source.read(0, size + 1), signal);
  return bytes.length === size ? bytes : undefined;
}

/** Stores the image by one call, which is repeated for as long as that may help; undefined if it has to go the long way. */
export async function storeSmall(rpc: Rpc, small: Small, backoff: Backoff, call: CallOptions): Promise<Image | undefined> {
  for (;;) {
    let reply;
    try {
      reply = await rpc.unary(UploadService.method.uploadImage, small.request, call);
    } catch (error) {
      if (isTooLarge(error) || isOld(error)) return undefined;
      if (small.hopeless(error)) throw error;
      await backoff.pause(error);
      continue;
    }
    return small.stored(reply.image);
  }
}

/** Whether the server takes only smaller images by this call than it said. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof ConexionesError && (error.reason === "IMAGE_NOT_SMALL" || error.reason === "MESSAGE_TOO_LARGE");
}

/** Whether the server does not have the call. */
export function isOld(error: unknown): boolean {
  return error instanceof ConexionesError && error.code === Code.UNIMPLEMENTED;
}

function hash(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
