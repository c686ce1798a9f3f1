// A stage that shows one image, fitted or zoomed. It is moved and zoomed by pointer, fingers, wheel and keys.
import type { Image } from "#gen/conexiones/v1/images_pb";

import { draw } from "./gallery/blurhash";
import { h, say } from "./dom";
import { noPicture } from "./image";
import { t } from "./i18n";
import { Picture } from "./picture";

/** The largest zoom, as a factor of the fitted size. Large images can be zoomed to two screen pixels for each of theirs. */
const MAX_SCALE = 16;
/** Sizes of renditions, in pixels of the longer side. They are few, so that the server makes few renditions. */
const SIDES = [1280, 2560, 4096, 8192];
/** An image whose longer side is at most half of this is enlarged to it, by a whole factor. */
const SMALL_PX = 256;
/** Pixels of the screen for one of the image, from which on its pixels are shown as they are, not blurred. */
const PIXELATED = 2;

export class Stage {
  readonly element: HTMLElement;
  readonly #picture = new Picture(h("img", { alt: "", draggable: "false" }), {
    shown: () => this.#become("shown"),
    away: () => this.#become("away"),
    failed: (cause) => this.#fail(cause),
  });
  /** Loads a larger rendition while the one before is shown. If that fails, the one before stays. */
  readonly #larger = new Picture(h("img"), {
    shown: () => this.#picture.load(this.#larger.url),
    away: () => undefined,
    failed: () => (this.#most = this.#shown),
  });
  readonly #canvas = h("canvas", { "aria-hidden": "true" });
  readonly #frame = h("div", { class: "frame" }, this.#canvas, this.#picture.element);
  readonly #note = h("p", { class: "note", role: "status" });
  readonly #pointers = new Map<number, { x: number; y: number }>();
  #image: Image | undefined;
  #scale = 1;
  #x = 0;
  #y = 0;
  #side = 0; // the longer side of the rendition that was asked for, in pixels
  #shown = 0; // and of the one that is shown
  #most = Infinity; // larger renditions cannot be made
  #moved = false;

  constructor() {
    this.element = h("div", { class: "stage" }, this.#frame, this.#note);
    this.element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.element.addEventListener("dblclick", (event) => this.zoomTo(this.#scale > 1.01 ? 1 : this.#natural(), event.clientX, event.clientY));
    this.element.addEventListener("pointerdown", (event) => this.#down(event));
    this.element.addEventListener("pointermove", (event) => this.#move(event));
    for (const over of ["pointerup", "pointercancel"] as const) {
      this.element.addEventListener(over, (event) => this.#pointers.delete(event.pointerId));
    }
    new ResizeObserver(() => this.#lay()).observe(this.element);
  }

  /** Whether the image is larger than fitted. */
  get zoomed(): boolean {
    return this.#scale > 1.01;
  }

  show(image: Image | undefined, label: string): void {
    const another = image?.id !== this.#image?.id;
    const { hasAlpha = true, problem = "", blurHash = "", dominantColor = "" } = image?.facts ?? {};
    this.#image = image;
    this.#picture.element.alt = label;
    this.#frame.classList.toggle("alpha", hasAlpha);
    if (another) {
      [this.#side, this.#shown, this.#most] = [0, 0, Infinity];
      [this.#scale, this.#x, this.#y] = [1, 0, 0];
      this.#picture.clear();
      this.#larger.clear();
      this.#frame.classList.remove("shown", "failed", "away");
      this.note("");
      this.#canvas.hidden = !(blurHash && draw(this.#canvas, blurHash, 1, 1));
      this.#frame.style.backgroundColor = dominantColor;
    }
    if (problem) this.#fail(problem);
    if (another) this.#lay();
  }

  /** Says something in the place of the image; nothing if the text is empty. */
  note(text: string): void {
    say(this.#note, text);
  }

  /** Zooms by a factor, around a point of the window or the middle. */
  zoomBy(factor: number, x?: number, y?: number): void {
    this.zoomTo(this.#scale * factor, x, y);
  }

  zoomTo(scale: number, x?: number, y?: number): void {
    const box = this.element.getBoundingClientRect();
    const [cx, cy] = [box.left + box.width / 2, box.top + box.height / 2];
    const to = Math.max(1, Math.min(Math.max(MAX_SCALE, 2 * this.#natural()), scale));
    const ratio = to / this.#scale;
    // The part of the image under the point stays there.
    this.#x = (x ?? cx) - cx - ((x ?? cx) - cx - this.#x) * ratio;
    this.#y = (y ?? cy) - cy - ((y ?? cy) - cy - this.#y) * ratio;
    this.#scale = to;
    this.#lay();
  }

  pan(x: number, y: number): void {
    this.#x += x;
    this.#y += y;
    this.#lay();
  }

  #fitted(): { width: number; height: number } {
    const { clientWidth, clientHeight } = this.element;
    const { width = 1, height = 1 } = this.#image ?? {};
    const fit = Math.min(clientWidth / width, clientHeight / height, 1);
    const whole = Math.floor(Math.min(clientWidth / width, clientHeight / height, SMALL_PX / Math.max(width, height)));
    const factor = Math.max(fit, whole);
    return { width: width * factor, height: height * factor };
  }

  /** The scale at which one pixel of the image is one pixel of the screen. */
  #natural(): number {
    const { width } = this.#fitted();
    return Math.max(2, (this.#image?.width ?? 1) / devicePixelRatio / Math.max(1, width));
  }

  #lay(): void {
    const image = this.#image;
    if (!image || this.element.clientWidth === 0) return;
    const { width, height } = this.#fitted();
    const reach = (size: number, of: number) => Math.max(0, (size * this.#scale - of) / 2);
    const limit = (value: number, most: number) => Math.max(-most, Math.min(most, value));
    this.#x = limit(this.#x, reach(width, this.element.clientWidth));
    this.#y = limit(this.#y, reach(height, this.element.clientHeight));
    const { style } = this.#frame;
    style.width = `${width}px`;
    style.height = `${height}px`;
    style.transform = `translate(-50%, -50%) translate(${this.#x}px, ${this.#y}px) scale(${this.#scale})`;
    this.element.classList.toggle("zoomed", this.zoomed);
    this.#frame.classList.toggle("pixels", width * this.#scale * devicePixelRatio >= PIXELATED * image.width);
    this.#load(image, Math.max(width, height) * this.#scale * devicePixelRatio);
  }

  /** The smallest rendition that is sharp at this many pixels, but no smaller one than is already shown. */
  #load(image: Image, wanted: number): void {
    if (this.#frame.classList.contains("failed")) return;
    const needed = Math.min(wanted, Math.max(image.width, image.height));
    const side = SIDES.find((known) => known >= needed) ?? (SIDES.at(-1) as number);
    if (side <= this.#side || side > this.#most) return;
    this.#side = side;
    const moving = image.frames > 1 && ["GIF", "WEBP", "AVIF"].includes(image.format);
    // The artefacts of other formats than PNG would be seen in enlarged pixels.
    const kind = moving ? "&animated=1" : Math.max(image.width, image.height) <= SMALL_PX ? "&format=png" : "";
    const picture = this.#shown > 0 ? this.#larger : this.#picture;
    picture.load(`/images/${image.id}?width=${side}&height=${side}${kind}`);
  }

  #become(state: "shown" | "away" | "failed"): void {
    this.#frame.classList.remove("away");
    this.#frame.classList.add(state);
    if (state === "shown") this.#shown = this.#side;
    this.note(state === "away" ? t("unreachable") : "");
  }

  #fail(cause: string): void {
    this.#become("failed");
    const { format = "" } = this.#image ?? {};
    this.note(`${noPicture(cause, format)}. ${t("stillStored")}`);
  }

  #wheel(event: WheelEvent): void {
    event.preventDefault();
    this.zoomBy(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 180), event.clientX, event.clientY);
  }

  #down(event: PointerEvent): void {
    this.#moved = false;
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.element.setPointerCapture(event.pointerId);
  }

  #move(event: PointerEvent): void {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const here = { x: event.clientX, y: event.clientY };
    const [other] = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    this.#pointers.set(event.pointerId, here);
    if (other) {
      const distance = (point: { x: number; y: number }) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
      this.zoomBy(distance(here) / distance(before), (here.x + other.x) / 2, (here.y + other.y) / 2);
    } else if (this.zoomed) this.pan(here.x - before.x, here.y - before.y);
    this.#moved ||= Math.hypot(here.x - before.x, here.y - before.y) > 3;
  }
}
