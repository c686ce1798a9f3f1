// Images, users and progress, as plain objects with numbers and dates.
import type { Timestamp } from "@bufbuild/protobuf/wkt";

import type { Facts as FactsMessage, Image as ImageMessage } from "./gen/conexiones/v1/images_pb.js";
import type { ImageInfo as ImageInfoMessage, User as UserMessage } from "./gen/user_pb.js";

/** What decoding an image showed. If `problem` is set, all other fields are "" or undefined. */
export interface Facts {
  /** Why it cannot be decoded: PIXELS, SECONDS, MEMORY, CORRUPT, CRASH or UNSUPPORTED; "" if it can. */
  problem: string;
  /** RGB, GREY, CMYK or LAB. */
  colorSpace: string;
  /** 1, 8, 16 or 32. Undefined in replies of the tutorial's calls. */
  bitsPerSample: number | undefined;
  /** Undefined in replies of the tutorial's calls. */
  hasAlpha: boolean | undefined;
  /** The most common colour, as "#rrggbb" in sRGB. */
  dominantColor: string;
  /** A placeholder to show while the image loads: https://blurha.sh */
  blurHash: string;
}

/** An image as stored. Sizes are numbers, which are exact up to 9 PB (2⁵³ bytes). */
export interface ImageInfo {
  /** A UUIDv7: ids sort by time. */
  id: string;
  /** One of JPEG, PNG, GIF, WEBP, TIFF, BMP, AVIF and HEIF, determined from the content, never from a name. */
  format: string;
  /** In pixels, as a person sees the image: the EXIF orientation has been applied. */
  width: number;
  /** In pixels, likewise upright. */
  height: number;
  /** 1, or the number of frames or pages of an animation or a document. */
  frames: number;
  /** width × height. */
  pixels: number;
  sizeBytes: number;
  /** SHA-256 of the bytes, 32 bytes long. */
  sha256: Uint8Array;
  createTime: Date;
  /** Undefined until the image was decoded, soon after it was stored. */
  facts: Facts | undefined;
}

export interface Image extends ImageInfo {
  /** The name of the user to whom the image belongs; "" if it belongs to nobody. */
  user: string;
  /** The quoted SHA-256, as an HTTP strong ETag. */
  etag: string;
  /** The media type, such as "image/jpeg". */
  contentType: string;
  /** The name of the file that it was uploaded from; "" if it was not given. */
  name: string;
  /** Who stored it, such as "token:backend"; "" for callers who see only what is theirs. */
  owner: string;
}

export interface User {
  name: string;
  pow: number;
  /** A bigint, because it may be larger than the largest exact number. */
  powSquared: bigint;
  /** The id of the user's image; "" if there is none. */
  imageId: string;
  createTime: Date;
  updateTime: Date;
}

export interface Progress {
  /** Bytes that are durable at the destination. It never decreases. */
  bytes: number;
  /** The size of the whole, in bytes; undefined if unknown. */
  total: number | undefined;
}

export function imageInfo(message: ImageInfoMessage | ImageMessage): ImageInfo {
  const { id, format, width, height, frames, pixels, sizeBytes, sha256, createTime } = message;
  return {
    ...{ id, format, width, height, frames, pixels: Number(pixels), sizeBytes: Number(sizeBytes) },
    // sha256 is a view into the whole message, which would stay in memory with it: copy it.
    ...{ sha256: sha256.slice(), createTime: date(createTime), facts: factsOf(message) },
  };
}

function factsOf(message: ImageInfoMessage | ImageMessage): Facts | undefined {
  if (message.$typeName === "conexiones.v1.Image") return message.facts && facts(message.facts);
  const { colorSpace, dominantColor, blurHash } = message;
  if (!colorSpace) return undefined;
  return { problem: "", colorSpace, bitsPerSample: undefined, hasAlpha: undefined, dominantColor, blurHash };
}

function facts({ problem, colorSpace, bitsPerSample, hasAlpha, dominantColor, blurHash }: FactsMessage): Facts {
  const samples = problem ? { bitsPerSample: undefined, hasAlpha: undefined } : { bitsPerSample, hasAlpha };
  return { problem, colorSpace, ...samples, dominantColor, blurHash };
}

export function image(message: ImageMessage | undefined): Image {
  if (!message) throw new TypeError("The server sent a reply without its image.");
  const { user, etag, contentType, name, owner } = message;
  return { ...imageInfo(message), user, etag, contentType, name, owner };
}

export function user(message: UserMessage): User {
  const { name, pow, powSquared, imageId, createTime, updateTime } = message;
  return { name, pow, powSquared, imageId, createTime: date(createTime), updateTime: date(updateTime) };
}

export function date(timestamp: Timestamp | undefined): Date {
  // Rounded down, unlike timestampDate(), so that an image is among those created "at this time or later".
  return new Date(timestamp ? Number(timestamp.seconds) * 1000 + Math.floor(timestamp.nanos / 1e6) : 0);
}
