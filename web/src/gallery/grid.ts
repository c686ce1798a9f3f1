// The gallery as a grid of square tiles. Only the tiles in sight, and a few around them, are in the document.
import type { Image } from "#gen/conexiones/v1/images_pb";

import { h } from "../dom";
import { t } from "../i18n";
import type { Listing } from "./listing";
import { Tile } from "./tile";

/** Pixels between two tiles. */
const GAP = 6;
/** Pixels per millisecond: while the page scrolls faster than this, no thumbnails are loaded. */
const FAST_SCROLLING = 4;
/** How soon after fast scrolling the grid is drawn again, with thumbnails. */
const REDRAW_MS = 90;
/** How long after many images came at once no thumbnails are loaded: those that come next would push them away. */
const SETTLE_MS = 600;

interface Geometry {
  columns: number;
  side: number;
  /** Pixels from the top of one row to the top of the next. */
  pitch: number;
}

export class Grid {
  readonly element = h("ul", { class: "grid", tabindex: "-1", "aria-label": t("gallery") });
  readonly #listing: Listing;
  readonly #extend: (towards: number) => void;
  readonly #remove: (id: string) => void;
  readonly #tiles = new Map<string, Tile>();
  /** Stand in the places of images that are not loaded yet. */
  readonly #blanks: HTMLLIElement[] = [];
  #geometry: Geometry = { columns: 1, side: 100, pitch: 106 };
  #width = 0;
  #asked = false;
  #focus = 0;
  /** The image that gets the focus is still being loaded. */
  #coming = false;
  /** The last image gets the focus, of which only is known that there are more to load. */
  #toEnd = false;
  #lastTop = 0;
  #lastTime = 0;
  #redraw: ReturnType<typeof setTimeout> | undefined;
  #settled = 0;

  /** `extend` is called when images past the end of the list will be needed soon, with the index of the last of them.
   *  `remove` is called when the user deletes an image. */
  constructor(listing: Listing, extend: (towards: number) => void, remove: (id: string) => void) {
    this.#listing = listing;
    this.#extend = extend;
    this.#remove = remove;
    addEventListener("scroll", () => this.render(), { passive: true });
    new ResizeObserver(() => this.render()).observe(this.element);
    addEventListener("resize", () => this.render());
    this.element.addEventListener("keydown", (event) => this.#key(event));
    for (const moved of ["wheel", "pointerdown", "touchmove"]) addEventListener(moved, () => this.#stay(), { passive: true });
    this.element.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !this.element.contains(event.relatedTarget as Node)) this.#stay();
    });
    this.element.addEventListener("focusin", (event) => {
      const id = (event.target as Element).closest("li")?.dataset["id"];
      const at = id ? this.#listing.indexOf(id) : -1;
      if (at >= 0) this.#focus = at;
    });
  }

  /** Loads no thumbnails for a moment, because more images come. */
  hold(): void {
    this.#settled = performance.now() + SETTLE_MS;
  }

  /** Draws in the next animation frame. */
  render(): void {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  /** Moves the focus to the image of that index, or to the nearest one, and scrolls there. If the image is not loaded
   *  yet, the focus follows when it is. */
  focus(index: number): void {
    this.#focus = Math.max(0, Math.min(index, this.#listing.length - 1));
    this.#coming = true;
    this.#reveal(this.#focus);
    this.#draw();
    // Until the image has come, the grid itself has the focus, so that keys have their effect.
    if (this.#coming) this.element.focus({ preventScroll: true });
  }

  /** Gives the image its focus if it has come. */
  #arrive(): void {
    const { more, length } = this.#listing;
    if (length === 0) return this.#stay();
    if (!more && this.#focus >= length) this.#focus = Math.max(0, length - 1);
    if (this.#toEnd) {
      const end = Math.max(0, length - 1);
      if (end !== this.#focus) this.#reveal((this.#focus = end));
      if (more) return;
      this.#toEnd = false;
      this.#reveal(end);
    }
    const tile = this.#tileAt(this.#focus);
    if (!this.#coming || !tile) return;
    this.#coming = false;
    tile.link.focus({ preventScroll: true });
  }

  /** The user looks at something else than what is still being loaded. */
  #stay(): void {
    this.#coming = this.#toEnd = false;
  }

  #draw(): void {
    const listing = this.#listing;
    const width = this.element.clientWidth;
    if (width !== this.#width) {
      this.#width = width;
      this.#geometry = geometry(width);
    }
    const { columns, side, pitch } = this.#geometry;
    const { count, length, more } = listing;
    // If more images come than is known, two empty rows show it.
    const rows = Math.ceil(length / columns) + (more && length === count && count > 0 ? 2 : 0);
    const places = more && length === count ? rows * columns : length;
    this.element.style.height = `${Math.max(0, rows * pitch - GAP)}px`;
    const top = -this.element.getBoundingClientRect().top;
    const height = innerHeight;
    const around = height * 0.75;
    const first = Math.max(0, Math.floor((top - around) / pitch)) * columns;
    const end = Math.max(0, Math.ceil((top + height + around) / pitch)) * columns;
    const last = Math.min(count, end);
    const shown = last > first ? listing.slice(first, last) : [];
    const missing: number[] = [];
    for (let index = Math.max(first, last); index < Math.min(end, places); index++) missing.push(index);
    shown.forEach((image, i) => image ?? missing.push(first + i));
    this.#stand(missing);
    const fast = this.#fast(top);

    const keep = new Set<string>();
    // The tile with the focus stays in the document, wherever it is, so that keyboard users keep their place.
    const focused = document.activeElement?.closest("li")?.dataset["id"];
    if (focused && this.#tiles.has(focused) && listing.indexOf(focused) >= 0) keep.add(focused);
    shown.forEach((image) => image && keep.add(image.id));
    for (const [id, tile] of this.#tiles) {
      if (keep.has(id)) continue;
      tile.discard();
      this.#tiles.delete(id);
    }
    let after: Element | null = null;
    shown.forEach((image, i) => {
      if (!image) return;
      const index = first + i;
      const tile = this.#tile(image);
      tile.place((index % columns) * (side + GAP), Math.floor(index / columns) * pitch, side, index, more ? -1 : count);
      const expected: Element | null = after ? after.nextElementSibling : this.element.firstElementChild;
      if (tile.element !== expected) this.element.insertBefore(tile.element, expected);
      after = tile.element;
      tile.link.tabIndex = index === this.#focus ? 0 : -1;
      if (!fast) tile.show(side);
    });
    const reachable = this.#tileAt(this.#focus) ?? this.#tiles.values().next().value;
    if (reachable) reachable.link.tabIndex = 0;
    const towards = this.#toEnd ? length : Math.ceil((top + height * 4) / pitch) * columns;
    if (more && towards > count) this.#extend(towards);
    if (this.#coming || this.#toEnd) this.#arrive();
  }

  /** Puts blanks in the places of these indexes, and of no others. */
  #stand(indexes: number[]): void {
    const { columns, side, pitch } = this.#geometry;
    while (this.#blanks.length > indexes.length) this.#blanks.pop()?.remove();
    indexes.forEach((index, i) => {
      let blank = this.#blanks[i];
      if (!blank) {
        this.#blanks.push((blank = h("li", { class: "blank", "aria-hidden": "true" })));
        this.element.append(blank);
      }
      blank.style.transform = `translate(${(index % columns) * (side + GAP)}px, ${Math.floor(index / columns) * pitch}px)`;
      blank.style.width = blank.style.height = `${side}px`;
    });
  }

  #tile(image: Image): Tile {
    let tile = this.#tiles.get(image.id);
    if (tile) tile.update(image);
    else this.#tiles.set(image.id, (tile = new Tile(image)));
    return tile;
  }

  #tileAt(index: number): Tile | undefined {
    if (index >= this.#listing.count) return undefined;
    const [image] = this.#listing.slice(index, index + 1);
    return image && this.#tiles.get(image.id);
  }

  /** Whether thumbnails would be gone before they are seen: the page scrolls too fast, or more images come. If so,
   *  schedules another drawing for when that is over. */
  #fast(top: number): boolean {
    const time = performance.now();
    const speed = Math.abs(top - this.#lastTop) / Math.max(1, time - this.#lastTime);
    [this.#lastTop, this.#lastTime] = [top, time];
    clearTimeout(this.#redraw);
    const wait = Math.max(speed < FAST_SCROLLING ? 0 : REDRAW_MS, this.#settled - time);
    if (wait <= 0) return false;
    this.#redraw = setTimeout(() => this.render(), wait);
    return true;
  }

  #reveal(index: number): void {
    const { columns, side, pitch } = this.#geometry;
    const top = this.element.getBoundingClientRect().top + Math.floor(index / columns) * pitch;
    const header = 8 + parseFloat(document.documentElement.style.getPropertyValue("--cover") || "64");
    if (top < header) scrollBy(0, top - header);
    else if (top + side > innerHeight - GAP) scrollBy(0, top + side - innerHeight + GAP);
  }

  #key(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { columns, pitch } = this.#geometry;
    const screen = Math.max(1, Math.floor(innerHeight / pitch) - 1) * columns;
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columns,
      ArrowDown: columns,
      PageUp: -screen,
      PageDown: screen,
      Home: -this.#focus,
      End: this.#listing.length - 1 - this.#focus,
    };
    const id = (event.target as Element).closest("li")?.dataset["id"];
    if (event.key === "Delete" && id) {
      event.preventDefault();
      const at = this.#listing.indexOf(id);
      this.#remove(id);
      return this.focus(at);
    }
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const wanted = this.#focus + step;
    this.#toEnd = event.key === "End" && this.#listing.more;
    if (wanted < 0 && step === -columns) return;
    this.focus(wanted);
  }
}

function geometry(width: number): Geometry {
  const wanted = width < 640 ? 116 : 208;
  const columns = Math.max(width < 300 ? 2 : 3, Math.round((width + GAP) / (wanted + GAP)));
  const side = Math.max(1, (width - GAP * (columns - 1)) / columns);
  return { columns, side, pitch: side + GAP };
}
