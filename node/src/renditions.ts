// Renditions, which are images in another size or format: the request, the result and the server's limits.
import type { MessageInitShape } from "@bufbuild/protobuf";

import { flag, int32, invalid, options } from "./fields.js";
import type { Check, Checks } from "./fields.js";
import { Rendition_Fit as Fit, Rendition_Format as Format } from "./gen/conexiones/v1/images_pb.js";
import type {
  RenditionInfo as RenditionInfoMessage,
  RenditionLimits as RenditionLimitsMessage,
  RenditionSchema,
} from "./gen/conexiones/v1/images_pb.js";

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

export function renditionLimits(message: RenditionLimitsMessage): RenditionLimits {
  const { maxSide, maxPixels, maxQuality, maxSeconds, formats } = message;
  return { maxSide, maxPixels: Number(maxPixels), maxQuality, maxSeconds, formats: formats.map((format) => Format[format]) };
}

export const RENDITION: Checks<Rendition> = {
  ...{ width: int32, height: int32, fit: word(FITS), format: word(FORMATS), quality: int32, animated: flag, keepProfile: flag },
};

/** Throws INVALID_FIELD for a value that a request cannot carry. What makes no sense otherwise, the server refuses. */
export function checkRendition(field: string, value: unknown): void {
  options(field, value);
  for (const [name, check] of Object.entries(RENDITION)) {
    const option = (value as Record<string, unknown>)[name];
    if (option !== undefined) check(`${field}.${name}`, option);
  }
}

/** The protobuf message for these options. */
export function renditionRequest(wanted: Rendition): MessageInitShape<typeof RenditionSchema> {
  const { width = 0, height = 0, fit, format, quality = 0, animated = false, keepProfile = false } = wanted;
  return {
    ...{ width, height, quality, animated, keepProfile },
    fit: fit === undefined ? Fit.UNSPECIFIED : FITS[fit],
    format: format === undefined ? Format.UNSPECIFIED : FORMATS[format],
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

function word(words: object): Check {
  const known = Object.keys(words);
  return (field, value) => {
    const [english, spanish] = [`one of ${known.join(", ")}`, `una de estas palabras: ${known.join(", ")}`];
    if (!known.includes(value as string)) throw invalid(field, [english, spanish]);
  };
}
