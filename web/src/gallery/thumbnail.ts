// Which rendition of an image its tile shows, and how large.
import type { Image } from "#gen/conexiones/v1/images_pb";

/** Sizes of thumbnails, in pixels of a side. They are few, so that the server makes few renditions. */
const SIDES = [160, 256, 384, 512];
/** The most that an image is enlarged to fill its tile. */
const MOST_ENLARGED = 1.5;
/** The part of a tile that a small image fills. */
const SMALL = 0.6;

export interface Thumbnail {
  url: string;
  /** Fills the tile, lies within it, or is shown with so many pixels of the tile for each of its own. */
  fit: "cover" | "contain" | number;
}

/** `side` is that of the tile, in CSS pixels. */
export function thumbnail({ id, width, height }: Image, side: number): Thumbnail {
  const wanted = side * devicePixelRatio;
  const pixels = SIDES.find((known) => known >= wanted) ?? SIDES.at(-1);
  const url = `/images/${id}?width=${pixels}&height=${pixels}`;
  if (Math.min(width, height) * MOST_ENLARGED >= side) return { url: `${url}&fit=cover`, fit: "cover" };
  const longer = Math.max(width, height);
  if (longer > side * SMALL) return { url, fit: "contain" };
  // PNG, because the artefacts of other formats would be seen in enlarged pixels.
  return { url: `${url}&format=png`, fit: Math.max(1, Math.floor((side * SMALL) / longer)) };
}
