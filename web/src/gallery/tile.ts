// One image in the gallery: it shows its dominant colour, then its BlurHash, then its thumbnail.
import type { Image } from "#gen/conexiones/v1/images_pb";

import { h, icon, say, set } from "../dom";
import { ago, t } from "../i18n";
import { created } from "../image";
import { draw } from "./blurhash";

/** How old the label may be that says how long ago the image was stored. */
const LABEL_MS = 60_000;
/** Sizes of thumbnails, in pixels of a side. They are few, so that the server makes few renditions. */
const SIDES = [160, 256, 384, 512];

export class Tile {
  readonly element: HTMLLIElement;
  readonly link: HTMLAnchorElement;
  readonly #picture = h("img", { alt: "", decoding: "async", draggable: "false" });
  #canvas: HTMLCanvasElement | undefined;
  #image: Image;
  #looked = false;
  #drawn = "";
  #named = 0;

  constructor(image: Image) {
    this.#image = image;
    this.#picture.addEventListener("load", () => this.link.classList.add("shown"));
    this.#picture.addEventListener("error", () => this.#fail());
    this.link = h("a", { href: `#/image/${image.id}`, class: "tile", tabindex: "-1" }, this.#picture);
    this.element = h("li", { "data-id": image.id }, this.link);
    this.update(image);
  }

  get id(): string {
    return this.#image.id;
  }

  update(image: Image): void {
    this.#image = image;
    const { dominantColor = "" } = image.facts ?? {};
    if (/^#[0-9a-f]{6}$/i.test(dominantColor)) this.link.style.backgroundColor = dominantColor;
    if (this.#looked) this.#blur();
    if (image.facts?.problem) this.#fail();
    if (image.frames > 1 && !this.link.querySelector(".badge")) {
      this.link.append(h("span", { class: "badge", "aria-hidden": "true" }, image.format));
    }
  }

  /** Sets its position in pixels, its index, and the number of images (-1 if unknown). */
  place(left: number, top: number, side: number, index: number, count: number): void {
    const { style } = this.element;
    style.transform = `translate(${left}px, ${top}px)`;
    style.width = style.height = `${side}px`;
    set(this.element, "aria-posinset", index + 1);
    set(this.element, "aria-setsize", count);
    if (Date.now() - this.#named > LABEL_MS) {
      this.#named = Date.now();
      const { format, width, height } = this.#image;
      set(this.link, "aria-label", t("imageLabel", { format, width, height, when: ago(created(this.#image)) }));
    }
  }

  /** Draws the BlurHash and loads the thumbnail. Called when the tile is in sight. */
  show(side: number): void {
    if (!this.#looked) {
      this.#looked = true;
      this.#blur();
    }
    if (this.#picture.hasAttribute("src") || this.link.classList.contains("failed")) return;
    const wanted = side * devicePixelRatio;
    const pixels = SIDES.find((known) => known >= wanted) ?? SIDES.at(-1);
    this.#picture.src = `/images/${this.#image.id}?width=${pixels}&height=${pixels}&fit=cover`;
  }

  /** Removes the tile, and stops loading its thumbnail. */
  discard(): void {
    if (!this.link.classList.contains("shown")) this.#picture.removeAttribute("src");
    this.element.remove();
  }

  #blur(): void {
    const { facts, width, height } = this.#image;
    const hash = facts?.blurHash;
    if (!hash || hash === this.#drawn) return;
    this.#drawn = hash;
    this.#canvas ??= h("canvas", { "aria-hidden": "true" });
    if (draw(this.#canvas, hash, width, height)) this.link.prepend(this.#canvas);
  }

  #fail(): void {
    if (!this.#picture.hasAttribute("src") && !this.#image.facts?.problem) return;
    if (this.link.classList.contains("failed")) return;
    this.link.classList.add("failed");
    const text = h("span");
    say(text, this.#image.format);
    this.link.append(h("span", { class: "fallback", "aria-hidden": "true", title: t("noPreview") }, icon("image"), text));
  }
}
