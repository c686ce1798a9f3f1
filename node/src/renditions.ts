// Renditions, which are images in another size or format: the request, the result and the server's limits.
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";

import { Code, makeError } from "./errors.js";
import { Rendition_Fit as Fit, Rendition_Format as Format } from "./gen/conexiones/v1/images_pb.js";
import type {
  RenditionInfo as RenditionInfoMessage,
  RenditionLimits as RenditionLimitsMessage,
  RenditionSchema,
} from "./gen/conexiones/v1/images_pb.js";
import { BadRequestSchema } from "./gen/google/rpc/error_details_pb.js";

/**
 * The options of a rendition, which is upright and without metadata. The server decides options that are absent. An
 * option that makes no sense is `INVALID_FIELD` with a `field` such as "rendition.width". A rendition that cannot be
 * made within the server's limits is `NO_RENDITION`.
 */
export interface Rendition {
  /** In pixels. With the fit "inside", width and height are upper bounds and one is enough; other fits need both. */
  width?: number | undefined;
  /** In pixels, like `width`. */
  height?: number | undefined;
  /**
   * "inside", the default, is the whole image, never enlarged. "cover" is exactly width × height; what does not fit is
   * cropped around the centre. "contain" is exactly width × height with the whole image between bars, which are
   * transparent, or white in a JPEG.
   */
  fit?: keyof typeof FITS | undefined;
  /** By default that of the original, but JPEG for HEIF, and PNG for GIF, TIFF and BMP. */
  format?: keyof typeof FORMATS | undefined;
  /** 1 to 100, by default 80, or 60 for AVIF; PNG has no quality. */
  quality?: number | undefined;
  /** Keep the animation of a GIF, WEBP or AVIF, as WEBP; otherwise the rendition is of the first frame. */
  animated?: boolean | undefined;
  /** Keep the image's colour profile; otherwise the colours are converted to sRGB. */
  keepProfile?: boolean | undefined;
}

/** A rendition as it was made. It describes the bytes that came, not the image they were made from. */
export interface RenditionInfo {
  /** JPEG, PNG, WEBP or AVIF. */
  format: string;
  /** In pixels. */
  width: number;
  /** In pixels. */
  height: number;
  /** More than 1 if the rendition is animated. */
  frames: number;
  sizeBytes: number;
  /** SHA-256 of the bytes, 32 bytes long. */
  sha256: Uint8Array;
  /** The quoted SHA-256, as an HTTP strong ETag. */
  etag: string;
  /** The media type, such as "image/webp". */
  contentType: string;
}

/** The limits of the renditions that the server makes. */
export interface RenditionLimits {
  /** The largest width and the largest height, in pixels. */
  maxSide: number;
  /** The largest width × height (× frames if animated) of the image, and of the rendition. */
  maxPixels: number;
  maxQuality: number;
  /** How long making one rendition may take, in seconds. */
  maxSeconds: number;
  /** Some of JPEG, PNG, WEBP and AVIF. */
  formats: string[];
}

const FITS = { inside: Fit.INSIDE, cover: Fit.COVER, contain: Fit.CONTAIN } as const;
const FORMATS = { jpeg: Format.JPEG, png: Format.PNG, webp: Format.WEBP, avif: Format.AVIF } as const;

/** The largest number that the message can carry. Larger ones are sent as this, and the server refuses them. */
const MAX_INT32 = 2 ** 31 - 1;

export function renditionLimits(message: RenditionLimitsMessage): RenditionLimits {
  const { maxSide, maxPixels, maxQuality, maxSeconds, formats } = message;
  return { maxSide, maxPixels: Number(maxPixels), maxQuality, maxSeconds, formats: formats.map((format) => Format[format]) };
}

/** The protobuf message for these options. Throws `INVALID_FIELD` for values that it cannot carry. */
export function renditionRequest(wanted: Rendition): MessageInitShape<typeof RenditionSchema> {
  const { fit, format, animated = false, keepProfile = false } = wanted;
  const number = (name: "width" | "height" | "quality") => {
    const value = wanted[name] ?? 0;
    if (!Number.isInteger(value)) throw invalid(name, "a whole number");
    return Math.max(-1, Math.min(value, MAX_INT32));
  };
  return {
    ...{ width: number("width"), height: number("height"), quality: number("quality"), animated, keepProfile },
    fit: fit === undefined ? Fit.UNSPECIFIED : word("fit", FITS, fit),
    format: format === undefined ? Format.UNSPECIFIED : word("format", FORMATS, format),
  };
}

/** A part of a file name that is different for different renditions. */
export function renditionName({ width, height, fit, format, quality, animated, keepProfile }: Rendition): string {
  const size = width || height ? `${width ?? ""}x${height ?? ""}` : "";
  const kept = [quality ? `q${quality}` : "", animated ? "animated" : "", keepProfile ? "profile" : ""];
  return ["rendition", size, fit, format, ...kept].filter(Boolean).join("-");
}

export function renditionInfo(message: RenditionInfoMessage): RenditionInfo {
  const { format, width, height, frames, sizeBytes, sha256, etag, contentType } = message;
  return {
    ...{ format, width, height, frames, sizeBytes: Number(sizeBytes), sha256: sha256.slice(), etag, contentType },
  };
}

function word<T>(name: string, words: Readonly<Record<string, T>>, value: string): T {
  const found = Object.hasOwn(words, value) ? words[value] : undefined;
  if (found === undefined) throw invalid(name, `one of ${Object.keys(words).join(", ")}`);
  return found;
}

function invalid(name: string, takes: string): Error {
  const field = `rendition.${name}`;
  const [reason, message] = ["INVALID_FIELD", `\`${field}\` takes ${takes}.`];
  const details = [create(BadRequestSchema, { fieldViolations: [{ field, description: message, reason }] })];
  return makeError({ code: Code.INVALID_ARGUMENT, reason, message, facts: { takes }, details });
}
