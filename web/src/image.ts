// Descriptions of an image that several parts of the page show.
import { timestampDate } from "@bufbuild/protobuf/wkt";

import type { Image } from "#gen/conexiones/v1/images_pb";

import { ago, decimal, number, t } from "./i18n";

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

/** The name under which an image is saved, or a rendition of it in another format. */
export function fileName({ id, name, format }: Image, as = format): string {
  if (name && as === format) return name;
  const stem = name ? name.replace(/(.)\.[^.]{1,8}$/, "$1") : id;
  return `${stem}.${extension(as)}`;
}

/** What a screen reader says of an image. */
export function label(image: Image): string {
  const { name, format, width, height, facts } = image;
  const what = t("imageLabel", { format, width, height, when: ago(created(image)) });
  return [name, what, facts?.problem && noPicture(facts.problem, format)].filter(Boolean).join(", ");
}

/** Why there is no picture of an image, in a few words. The cause is that of its facts, or of NO_RENDITION. */
export function noPicture(cause: string, format: string): string {
  switch (cause) {
    case "PIXELS":
      return t("problemPixels");
    case "SECONDS":
      return t("problemSeconds");
    case "MEMORY":
      return t("problemMemory");
    case "CORRUPT":
      return t("problemCorrupt");
    case "CRASH":
      return t("problemCrash");
    case "UNSUPPORTED":
      return t("problemUnsupported", { format });
    default:
      return t("noPreview");
  }
}

/** The pixels of an image: of a small one exactly, of others in megapixels. */
export function pixels(count: number): string {
  if (count < 100_000) return t("pixelCount", { n: count });
  const written = decimal(count / 1e6);
  return t("megapixels", { n: written === number(1) ? 1 : 2, count: written });
}
