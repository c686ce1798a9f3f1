// Other forms of an image: what may be asked for, and what came.
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
 * Another form of an image, upright and without metadata; what is not said is left to the server. What makes no
 * sense is `INVALID_FIELD` with a `field` such as "rendition.width"; what cannot be made within the server's limits
 * `NO_RENDITION`.
 */
export interface Rendition {
  /** Pixels. With the fit "inside" one of the two is enough, and both are bounds; the other fits take both. */
  width?: number | undefined;
  height?: number | undefined;
  /**
   * "inside", the default, has the whole image, never enlarged; "cover" is exactly width × height, and what does not
   * fit is cut off around the centre; "contain" is too, with the whole image between transparent bars, or white ones
   * in a JPEG.
   */
  fit?: keyof typeof FITS | undefined;
  /** By default as the original, JPEG for HEIF, PNG for GIF, TIFF and BMP. */
  format?: keyof typeof FORMATS | undefined;
  /** 1 to 100, by default 80, of AVIF 60; not of PNG. */
  quality?: number | undefined;
  /** Keep the animation of a GIF or WEBP, as WEBP; otherwise its first frame. */
  animated?: boolean | undefined;
  /** Keep the image's colour profile; otherwise the colours are converted to sRGB. */
  keepProfile?: boolean | undefined;
}

/** A rendition as it was made: not its image, but the bytes that came. */
export interface RenditionInfo {
  /** JPEG, PNG, WEBP or AVIF. */
  format: string;
  /** Pixels. */
  width: number;
  height: number;
  /** More than 1 if it is animated. */
  frames: number;
  sizeBytes: number;
  /** SHA-256 of the bytes, 32 bytes long. */
  sha256: Uint8Array;
  /** The quoted SHA-256, as an HTTP strong ETag. */
  etag: string;
  /** The media type, such as "image/webp". */
  contentType: string;
}

/** What the server makes. */
export interface RenditionLimits {
  /** Pixels, of width and of height. */
  maxSide: number;
  /** Width × height (× frames, animated) of an image, and of a rendition. */
  maxPixels: number;
  maxQuality: number;
  /** How long making one may take. */
  maxSeconds: number;
  /** Of JPEG, PNG, WEBP and AVIF. */
  formats: string[];
}

const FITS = { inside: Fit.INSIDE, cover: Fit.COVER, contain: Fit.CONTAIN } as const;
const FORMATS = { jpeg: Format.JPEG, png: Format.PNG, webp: Format.WEBP, avif: Format.AVIF } as const;

/** What the wire can carry: more is sent as this, and the server says what it takes. */
const MOST = 2 ** 31 - 1;

export function renditionLimits(message: RenditionLimitsMessage): RenditionLimits {
  const { maxSide, maxPixels, maxQuality, maxSeconds, formats } = message;
  return { maxSide, maxPixels: Number(maxPixels), maxQuality, maxSeconds, formats: formats.map((format) => Format[format]) };
}

/** As it is asked for. Throws `INVALID_FIELD` for what the wire has no word for. */
export function renditionRequest(wanted: Rendition): MessageInitShape<typeof RenditionSchema> {
  const { fit, format, animated = false, keepProfile = false } = wanted;
  const number = (name: "width" | "height" | "quality") => {
    const value = wanted[name] ?? 0;
    if (!Number.isInteger(value)) throw invalid(name, "a whole number");
    return Math.max(-1, Math.min(value, MOST));
  };
  return {
    ...{ width: number("width"), height: number("height"), quality: number("quality"), animated, keepProfile },
    fit: fit === undefined ? Fit.UNSPECIFIED : word("fit", FITS, fit),
    format: format === undefined ? Format.UNSPECIFIED : word("format", FORMATS, format),
  };
}

/** Tells renditions apart in the name of a file. */
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
  const [reason, message] = ["INVALID_FIELD", `The field takes ${takes}.`];
  const details = [create(BadRequestSchema, { fieldViolations: [{ field, description: message, reason }] })];
  return makeError({ code: Code.INVALID_ARGUMENT, reason, message, facts: { takes }, details });
}
