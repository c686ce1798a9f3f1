// Descriptions of an image that several parts of the page show.
import { timestampDate } from "@bufbuild/protobuf/wkt";

import type { Image } from "#gen/conexiones/v1/images_pb";

export function created(image: Image): Date {
  return image.createTime ? timestampDate(image.createTime) : new Date(0);
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The file extension of a format. */
export function extension(format: string): string {
  return { JPEG: "jpg", TIFF: "tif", HEIF: "heic" }[format] ?? format.toLowerCase();
}
