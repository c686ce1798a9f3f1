// The field that searches images by the names of their files.
import type { Image } from "#gen/conexiones/v1/images_pb";

import { h, icon } from "../dom";
import { t } from "../i18n";
import { fileName } from "../uploads/names";

/** How long the user types nothing before the images are listed again. */
const PAUSE_MS = 200;

export class Search {
  readonly element: HTMLElement;
  readonly #field = h("input", { type: "search", "aria-label": t("search"), placeholder: t("search"), autocomplete: "off", maxlength: 100 });
  readonly #changed: () => void;
  #text = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `changed` is called when the text has changed. */
  constructor(changed: () => void) {
    this.#changed = changed;
    this.element = h("label", { class: "search" }, icon("search"), this.#field);
    this.#field.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#take(), PAUSE_MS);
    });
    this.#field.addEventListener("change", () => this.#take());
    this.#field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#take();
      if (event.key !== "Escape" || !this.#field.value) return;
      this.#field.value = "";
      this.#take();
    });
  }

  /** What is searched for; empty for all images. */
  get text(): string {
    return this.#text;
  }

  /** Whether an image that was stored a moment ago belongs to what is found. */
  matches({ name }: Image): boolean {
    return name.toLowerCase().includes(this.#text.toLowerCase());
  }

  #take(): void {
    clearTimeout(this.#timer);
    const text = fileName(this.#field.value);
    if (text === this.#text) return;
    this.#text = text;
    this.#changed();
  }
}
