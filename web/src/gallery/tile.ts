// One image in the gallery: it shows its dominant colour, then its BlurHash, then its thumbnail.
import type { Image } from "#gen/conexiones/v1/images_pb";

import { h, icon, say, set } from "../dom";
import { t } from "../i18n";
import { label, noPicture } from "../image";
import { Picture } from "../picture";
import { draw } from "./blurhash";
import { thumbnail } from "./thumbnail";

/** How old the label may be that says how long ago the image was stored. */
const LABEL_MS = 60_000;

export class Tile {
  readonly element: HTMLLIElement;
  readonly link: HTMLAnchorElement;
  readonly #picture: Picture;
  #canvas: HTMLCanvasElement | undefined;
  #image: Image;
  #looked = false;
  #covers = false;
  #drawn = "";
  #named = 0;

  constructor(image: Image) {
    this.#image = image;
    this.#picture = new Picture(h("img", { alt: "", decoding: "async", draggable: "false" }), {
      shown: () => this.#become("shown"),
      away: () => this.#become("away"),
      failed: (cause) => this.#fail(cause),
    });
    this.link = h("a", { href: `#/image/${image.id}`, class: "tile", tabindex: "-1" }, this.#picture.element);
    if (image.name) this.link.append(h("span", { class: "caption", "aria-hidden": "true" }, image.name));
    this.element = h("li", { "data-id": image.id }, this.link);
    this.update(image);
  }

  get id(): string {
    return this.#image.id;
  }

  update(image: Image): void {
    const another = image.facts !== this.#image.facts;
    this.#image = image;
    const { dominantColor = "", hasAlpha = true, problem = "" } = image.facts ?? {};
    if (/^#[0-9a-f]{6}$/i.test(dominantColor)) this.link.style.backgroundColor = dominantColor;
    this.link.classList.toggle("alpha", hasAlpha);
    if (this.#looked) this.#blur();
    if (problem) this.#fail(problem);
    if (another) this.#named = 0;
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
      set(this.link, "aria-label", label(this.#image));
    }
  }

  /** Draws the BlurHash and loads the thumbnail. Called when the tile is in sight. */
  show(side: number): void {
    if (!this.#looked) {
      this.#looked = true;
      this.#blur();
    }
    if (this.link.classList.contains("failed")) return;
    const { url, fit } = thumbnail(this.#image, side);
    const { element } = this.#picture;
    element.dataset["fit"] = typeof fit === "number" ? "pixels" : fit;
    const length = (pixels: number) => (typeof fit === "number" ? `${fit * pixels}px` : "");
    element.style.width = length(this.#image.width);
    element.style.height = length(this.#image.height);
    // A thumbnail that was loaded for another size of the tile is kept, if it fills the tile as this one would.
    if (!this.#picture.url || (fit === "cover") !== this.#covers) this.#picture.load(url);
    this.#covers = fit === "cover";
  }

  /** Removes the tile, and stops loading its thumbnail. */
  discard(): void {
    if (!this.link.classList.contains("shown")) this.#picture.clear();
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

  #become(state: "shown" | "away" | "failed"): void {
    this.link.classList.remove("away");
    this.link.classList.add(state);
    this.link.title = state === "away" ? t("unreachable") : "";
  }

  #fail(cause: string): void {
    if (this.link.classList.contains("failed")) return;
    this.#become("failed");
    const { format } = this.#image;
    const [kind, reason] = [h("b"), h("span")];
    say(kind, format);
    say(reason, noPicture(cause, format));
    this.link.append(h("span", { class: "fallback", "aria-hidden": "true" }, icon("image"), kind, reason));
  }
}
