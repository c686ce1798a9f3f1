// What the page says of an image, wherever it does.
import { timestampDate } from "@bufbuild/protobuf/wkt";

import type { Image } from "#gen/conexiones/v1/images_pb";

export function created(image: Image): Date {
  return image.createTime ? timestampDate(image.createTime) : new Date(0);
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Of a file of it; the media type's own are used where there are several. */
export function extension(format: string): string {
  return { JPEG: "jpg", TIFF: "tif", HEIF: "heic" }[format] ?? format.toLowerCase();
}
