// When an image was taken, as its EXIF metadata says (DateTimeOriginal; CIPA DC-008-2023, 4.6.5). Only the beginning
// of the original is read, and of formats that keep metadata behind the pixels also the end.
import type { Image } from "#gen/conexiones/v1/images_pb";

import { traceparent } from "./traces";

const HEAD_BYTES = 256 << 10;
const TAIL_BYTES = 64 << 10;
const METADATA_LAST = new Set(["PNG", "WEBP"]);
/** What the metadata follows, in JPEG, HEIF and AVIF; in PNG; and in WebP (with the size of its chunk). */
const MARKS: [text: string, skip: number][] = [["Exif\0\0", 6], ["eXIf", 4], ["EXIF", 8]];
const EXIF_DIRECTORY = 0x8769;
const DATE_TIME_ORIGINAL = 0x9003;
/** The most entries of a directory that are looked at. */
const MOST_ENTRIES = 500;

const known = new Map<string, Promise<Date | undefined>>();

/** The time on the camera's clock, as a local time of the browser; undefined if the image does not say it. */
export async function captured(image: Image): Promise<Date | undefined> {
  let found = known.get(image.id);
  if (!found) {
    known.clear(); // only that of the last image is kept
    known.set(image.id, (found = read(image).catch(() => undefined)));
  }
  return await found;
}

async function read({ id, format, sizeBytes }: Image): Promise<Date | undefined> {
  const part = async (range: string) => {
    const reply = await fetch(`/images/${id}`, { headers: { range: `bytes=${range}`, traceparent: traceparent() } });
    return reply.ok ? dateIn(new Uint8Array(await reply.arrayBuffer())) : undefined;
  };
  const first = await part(`0-${HEAD_BYTES - 1}`);
  if (first || !METADATA_LAST.has(format) || sizeBytes <= HEAD_BYTES) return first;
  return await part(`-${TAIL_BYTES}`);
}

function dateIn(bytes: Uint8Array): Date | undefined {
  const text = new TextDecoder("latin1").decode(bytes);
  const places = [0];
  for (const [mark, skip] of MARKS) {
    for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1)) places.push(at + skip);
  }
  for (const at of places) {
    if (!/^(II\*\0|MM\0\*)/.test(text.slice(at, at + 4))) continue;
    const found = dateAt(bytes, text, at);
    if (found) return found;
  }
  return undefined;
}

/** The date in the TIFF structure at that place. All of its offsets count from there. */
function dateAt(bytes: Uint8Array, text: string, start: number): Date | undefined {
  const view = new DataView(bytes.buffer, start);
  const little = text[start] === "I";
  const value = (directory: number, tag: number): number | undefined => {
    if (directory + 2 > view.byteLength) return undefined;
    const count = Math.min(MOST_ENTRIES, view.getUint16(directory, little));
    for (let entry = directory + 2; entry < directory + 2 + 12 * count && entry + 12 <= view.byteLength; entry += 12) {
      if (view.getUint16(entry, little) === tag) return view.getUint32(entry + 8, little);
    }
    return undefined;
  };
  const directory = value(view.getUint32(4, little), EXIF_DIRECTORY);
  const at = directory === undefined ? undefined : value(directory, DATE_TIME_ORIGINAL);
  if (at === undefined) return undefined;
  const parts = /^(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)/.exec(text.slice(start + at, start + at + 19));
  if (!parts) return undefined;
  const [year, month, day, hour, minute, second] = parts.slice(1).map(Number) as [number, number, number, number, number, number];
  // Cameras without a set clock write zeros.
  return year && month && day ? new Date(year, month - 1, day, hour, minute, second) : undefined;
}
