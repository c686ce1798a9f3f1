// An upload as it stands, and what the server accepts: plain objects with numbers and dates.
import type { Duration } from "@bufbuild/protobuf/wkt";

import { errorOfParts } from "./errors.js";
import type { ConexionesError } from "./errors.js";
import { Upload_State } from "./gen/conexiones/v1/uploads_pb.js";
import type { GetLimitsResponse, Upload as UploadMessage } from "./gen/conexiones/v1/uploads_pb.js";
import { date, image } from "./images.js";
import type { Image } from "./images.js";
import { renditionLimits } from "./renditions.js";
import type { RenditionLimits } from "./renditions.js";

export type UploadState = Exclude<keyof typeof Upload_State, "UNSPECIFIED">;

export interface Upload {
  id: string;
  /** OPEN, and at the end one of the others, for ever. */
  state: UploadState;
  /** Bytes that are durable. */
  committedSize: number;
  /** Bytes in all; undefined where they were not announced. */
  sizeBytes: number | undefined;
  /** How many writers there have been: the newest wins. */
  writerEpoch: number;
  user: string;
  createTime: Date;
  updateTime: Date;
  expireTime: Date;
  /** In state READY. */
  image: Image | undefined;
  /** In states REJECTED and FAILED: why. */
  failure: ConexionesError | undefined;
}

/** Sizes in bytes, `maxPixels` as width × height × frames, times in milliseconds. */
export interface Limits {
  maxImageBytes: number;
  maxPixels: number;
  maxMessageBytes: number;
  maxChunkBytes: number;
  preferredChunkBytes: number;
  /** An open upload expires after so long without a byte, and after so long in all. */
  idleExpiryMs: number;
  totalExpiryMs: number;
  /** As 1.2.3; "" of a server too old to say. */
  serverVersion: string;
  /** The server's clock when it answered; undefined of a server too old to say. */
  serverTime: Date | undefined;
  /** Uploads that may be open at a time, over all clients; 0 of a server without a limit. */
  maxOpenUploads: number;
  /** Of all of them together, of each what it announced, or received if that is more; 0 likewise. */
  maxOpenBytes: number;
  /** undefined of a server that makes none. */
  renditions: RenditionLimits | undefined;
}

export function upload(message: UploadMessage | undefined): Upload {
  if (!message) throw new TypeError("The server sent a reply without its upload.");
  const { id, state, committedSize, sizeBytes, writerEpoch, user, createTime, updateTime, expireTime } = message;
  const { image: stored, failure } = message;
  return {
    ...{ id, state: Upload_State[state] as UploadState, committedSize: Number(committedSize) },
    ...{ sizeBytes: sizeBytes === undefined ? undefined : Number(sizeBytes), writerEpoch: Number(writerEpoch), user },
    ...{ createTime: date(createTime), updateTime: date(updateTime), expireTime: date(expireTime) },
    image: stored && image(stored),
    failure: failure && errorOfParts(failure.code, failure.message, failure.details),
  };
}

export function limits(message: GetLimitsResponse): Limits {
  return {
    maxImageBytes: Number(message.maxImageBytes),
    maxPixels: Number(message.maxPixels),
    maxMessageBytes: Number(message.maxMessageBytes),
    maxChunkBytes: Number(message.maxChunkBytes),
    preferredChunkBytes: Number(message.preferredChunkBytes),
    idleExpiryMs: milliseconds(message.idleExpiry),
    totalExpiryMs: milliseconds(message.totalExpiry),
    serverVersion: message.serverVersion,
    serverTime: message.serverTime && date(message.serverTime),
    maxOpenUploads: Number(message.maxOpenUploads),
    maxOpenBytes: Number(message.maxOpenBytes),
    renditions: message.renditions && renditionLimits(message.renditions),
  };
}

function milliseconds(duration: Duration | undefined): number {
  return duration ? Number(duration.seconds) * 1000 + duration.nanos / 1e6 : 0;
}
