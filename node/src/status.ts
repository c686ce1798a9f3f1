// The state of an upload, and the limits of the server, as plain objects with numbers and dates.
import type { Duration } from "@bufbuild/protobuf/wkt";

import { access } from "./access.js";
import type { Access } from "./access.js";
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
  /** OPEN, and in the end one of the other states, which are final. */
  state: UploadState;
  /** Bytes that are durable. */
  committedSize: number;
  /** The announced size in bytes; undefined if none was announced. */
  sizeBytes: number | undefined;
  /** Increases with every writer that takes over the upload; older writers are fenced off. */
  writerEpoch: number;
  user: string;
  /** The name that the image will have; "" if it was not given. */
  name: string;
  /** Who created it, as in `Image.owner`. */
  owner: string;
  createTime: Date;
  updateTime: Date;
  expireTime: Date;
  /** Set in the state READY. */
  image: Image | undefined;
  /** Set in the states REJECTED and FAILED. */
  failure: ConexionesError | undefined;
}

/** What the server accepts. Sizes are in bytes, times in milliseconds; `maxPixels` is width × height × frames. */
export interface Limits {
  maxImageBytes: number;
  maxPixels: number;
  maxMessageBytes: number;
  maxChunkBytes: number;
  preferredChunkBytes: number;
  /** The largest image that is stored by one call; 0 if the server has no such call. */
  maxSmallBytes: number;
  /** An open upload expires when no byte has come for this long. */
  idleExpiryMs: number;
  /** An open upload expires this long after it was created, even if bytes still come. */
  totalExpiryMs: number;
  /** Such as "1.2.3"; "" if the server is too old to say. */
  serverVersion: string;
  /** The server's clock when it answered; undefined if the server is too old to say. */
  serverTime: Date | undefined;
  /** How many uploads of all clients may be open at a time; 0 if the server has no limit. */
  maxOpenUploads: number;
  /**
   * The bytes that all open uploads may have together, where each counts with the size it announced, or with the bytes
   * received if these are more; 0 if the server has no limit.
   */
  maxOpenBytes: number;
  /** Undefined if the server makes no renditions. */
  renditions: RenditionLimits | undefined;
  /** Who this client is, its own limits and its use of them; undefined if the server is too old to say. */
  access: Access | undefined;
}

export function upload(message: UploadMessage | undefined): Upload {
  if (!message) throw new TypeError("The server sent a reply without its upload.");
  const { id, state, committedSize, sizeBytes, writerEpoch, user, name, createTime, updateTime, expireTime } = message;
  const { image: stored, failure, owner } = message;
  return {
    ...{ id, state: Upload_State[state] as UploadState, committedSize: Number(committedSize) },
    ...{ sizeBytes: sizeBytes === undefined ? undefined : Number(sizeBytes), writerEpoch: Number(writerEpoch), user, name, owner },
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
    maxSmallBytes: Number(message.maxSmallBytes),
    idleExpiryMs: milliseconds(message.idleExpiry),
    totalExpiryMs: milliseconds(message.totalExpiry),
    serverVersion: message.serverVersion,
    serverTime: message.serverTime && date(message.serverTime),
    maxOpenUploads: Number(message.maxOpenUploads),
    maxOpenBytes: Number(message.maxOpenBytes),
    renditions: message.renditions && renditionLimits(message.renditions),
    access: message.access && access(message.access),
  };
}

function milliseconds(duration: Duration | undefined): number {
  return duration ? Number(duration.seconds) * 1000 + duration.nanos / 1e6 : 0;
}
