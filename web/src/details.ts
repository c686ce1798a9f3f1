// The view of one image: the image, its facts, its downloads, the programs that fetch it, and its deletion.
import type { Image } from "#gen/conexiones/v1/images_pb";

import type { Access } from "./access/access";
import { share } from "./access/share";
import { captured } from "./capture";
import { commands } from "./commands";
import { button, h, icon, say } from "./dom";
import type { Child } from "./dom";
import { bytes, date, number, t } from "./i18n";
import { created, fileName, hex, label, pixels } from "./image";
import { copyButton } from "./toast";
import { Stage } from "./zoom";

/** Widths of renditions to choose from, in pixels. */
const WIDTHS = [320, 640, 1280, 1920, 3840];
const FORMATS = ["webp", "jpeg", "png", "avif"];
/** Factor of one zoom by button or key. */
const STEP = 1.5;
/** Pixels that an arrow key moves a zoomed image. */
const PAN = 80;

export interface Actions {
  close: () => void;
  /** -1 goes to the previous image, 1 to the next. */
  step: (by: number) => void;
  remove: (image: Image) => void;
}

export class Details {
  readonly element: HTMLDialogElement;
  readonly #stage = new Stage();
  readonly #side = h("div", { class: "side" });
  readonly #title = h("h2", { id: "details-title" });
  readonly #previous: HTMLButtonElement;
  readonly #next: HTMLButtonElement;
  readonly #actions: Actions;
  readonly #access: Access;
  #image: Image | undefined;
  #program = 0;

  constructor(actions: Actions, access: Access) {
    this.#actions = actions;
    this.#access = access;
    this.#previous = button("left", t("previous"), () => actions.step(-1), { kind: "turn left" });
    this.#next = button("right", t("next"), () => actions.step(1), { kind: "turn right" });
    const zoom = h(
      "div",
      { class: "zoom", role: "group" },
      button("out", t("zoomOut"), () => this.#stage.zoomBy(1 / STEP)),
      h("button", { type: "button", class: "button text", onclick: () => this.#stage.zoomTo(1) }, t("zoomFit")),
      button("in", t("zoomIn"), () => this.#stage.zoomBy(STEP)),
    );
    const close = button("close", t("close"), actions.close, { kind: "leave" });
    this.element = h(
      "dialog",
      { class: "details", "aria-labelledby": "details-title" },
      h("div", { class: "view" }, this.#stage.element, this.#previous, this.#next, zoom),
      h("div", { class: "panel" }, h("div", { class: "head" }, this.#title, close), this.#side),
    );
    this.element.addEventListener("cancel", (event) => {
      event.preventDefault();
      actions.close();
    });
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  get image(): Image | undefined {
    return this.element.open ? this.#image : undefined;
  }

  show(image: Image, around: { previous: boolean; next: boolean }): void {
    const another = image.id !== this.#image?.id || !this.element.open;
    this.#image = image;
    if (!this.element.open) this.element.showModal();
    const { name, format, width, height } = image;
    say(this.#title, name || `${format} · ${number(width)} × ${number(height)}`);
    this.#stage.show(image, label(image));
    this.#previous.hidden = !around.previous;
    this.#next.hidden = !around.next;
    const program = this.#side.querySelector<HTMLElement>(":scope .programs");
    // If only the facts are new, the rest stays as it is, so that choices made by the user are kept.
    if (!another && program) {
      this.#side.querySelector(".facts")?.replaceWith(this.#facts(image));
      if (image.facts?.problem) {
        this.#side.querySelector(".renditions")?.remove();
        this.#side.querySelector(".share")?.replaceWith(share(image, this.#access.subject !== ""));
      }
    } else this.#side.replaceChildren(this.#facts(image), this.#downloads(image), share(image, this.#access.subject !== ""), this.#programs(image), this.#deletion(image));
  }

  /** Says that the image was deleted or never existed. */
  missing(): void {
    this.#image = undefined;
    if (!this.element.open) this.element.showModal();
    say(this.#title, t("gone"));
    this.#empty();
  }

  /** Says that the server does not answer, so that the image may yet come. */
  away(): void {
    this.#image = undefined;
    if (!this.element.open) this.element.showModal();
    say(this.#title, t("title"));
    this.#empty();
    this.#stage.note(t("unreachable"));
  }

  #empty(): void {
    this.#stage.show(undefined, "");
    this.#stage.note("");
    this.#previous.hidden = this.#next.hidden = true;
    this.#side.replaceChildren();
  }

  close(): void {
    this.element.close();
    this.#stage.show(undefined, "");
  }

  #facts(image: Image): HTMLElement {
    const list = h("dl", { class: "facts" });
    const row = (name: string, ...value: Child[]) => list.append(h("dt", null, name), h("dd", null, ...value));
    if (image.name) row(t("format"), image.format);
    row(t("dimensions"), `${number(image.width)} × ${number(image.height)}, ${pixels(Number(image.pixels))}`);
    const size = Number(image.sizeBytes);
    row(t("size"), size < 1000 ? bytes(size) : `${bytes(size)} (${number(size)} B)`);
    if (image.frames > 1) row(t("frames"), number(image.frames));
    row(t("stored"), h("time", { datetime: created(image).toISOString() }, date(created(image))));
    const stored = list.lastElementChild?.previousElementSibling;
    void captured(image).then((when) => when && stored?.before(h("dt", null, t("captured")), h("dd", { class: "captured" }, date(when))));
    if (image.user) row(t("user"), image.user);
    const { colorSpace = "", bitsPerSample = 0, dominantColor = "" } = image.facts ?? {};
    if (colorSpace) row(t("colours"), bitsPerSample ? `${colorSpace}, ${bitsPerSample} bit` : colorSpace);
    if (dominantColor) {
      const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.backgroundColor = dominantColor;
      row(t("dominant"), swatch, dominantColor);
    }
    row(t("checksum"), h("code", { class: "long" }, hex(image.sha256)));
    row(t("id"), h("code", { class: "long" }, image.id));
    return list;
  }

  #downloads(image: Image): HTMLElement {
    const url = `/images/${image.id}`;
    const original = h(
      "a",
      { class: "button", href: `${url}?download=1`, download: fileName(image) },
      icon("download"),
      h("span", null, `${t("original")} (${bytes(Number(image.sizeBytes))})`),
    );
    const widths = WIDTHS.filter((width) => width < image.width);
    const width = h("select", { "aria-label": t("width") });
    for (const value of [...widths, Math.min(image.width, 8192)]) width.append(h("option", { value }, t("pixels", { n: value })));
    width.selectedIndex = Math.min(2, width.options.length - 1);
    const format = h("select", { "aria-label": t("format") });
    for (const value of FORMATS) format.append(h("option", { value }, value === "webp" ? "WebP" : value.toUpperCase()));
    const link = h("a", { class: "button" }, icon("download"), h("span", null, t("rendition")));
    const update = () => {
      link.href = `${url}?width=${width.value}&format=${format.value}&download=1`;
      link.download = fileName(image, format.value.toUpperCase());
    };
    width.addEventListener("change", update);
    format.addEventListener("change", update);
    update();
    const able = !image.facts?.problem;
    return h(
      "section",
      null,
      h("h3", null, t("download")),
      h("div", { class: "row" }, original),
      able && h("div", { class: "row renditions" }, width, format, link),
    );
  }

  #programs(image: Image): HTMLElement {
    const withToken = this.#access.subject !== "";
    const all = commands(image, location, withToken);
    const code = h("code");
    const tabs = all.map(({ name }, i) =>
      h("button", { type: "button", class: "tab", onclick: () => choose(i), "data-program": name }, name),
    );
    const choose = (index: number) => {
      this.#program = index;
      tabs.forEach((tab, i) => tab.setAttribute("aria-pressed", String(i === index)));
      say(code, all[index]?.text ?? "");
    };
    choose(this.#program);
    const copy = copyButton(() => code.textContent ?? "");
    return h(
      "section",
      { class: "programs" },
      h("div", { class: "titled" }, h("h3", null, t("fetchIt")), copy),
      h("div", { class: "row", role: "group", "aria-label": t("language") }, ...tabs),
      h("pre", { tabindex: 0 }, code),
      withToken && h("p", { class: "hint" }, t("tokenVariable")),
    );
  }

  #deletion(image: Image): HTMLElement {
    const remove = button("delete", t("delete"), () => this.#actions.remove(image), { shown: true, kind: "danger" });
    return h("section", { class: "end", "data-needs": "delete" }, remove);
  }

  #key(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if ((event.target as Element).closest("select, pre, input")) return;
    const stage = this.#stage;
    const arrow = (x: number, y: number) => {
      if (stage.zoomed) stage.pan(x * PAN, y * PAN);
      else if (x) this.#actions.step(-x);
      else return false;
      return true;
    };
    const keys: Record<string, () => unknown> = {
      "+": () => stage.zoomBy(STEP),
      "=": () => stage.zoomBy(STEP),
      "-": () => stage.zoomBy(1 / STEP),
      "0": () => stage.zoomTo(1),
      ArrowLeft: () => arrow(1, 0),
      ArrowRight: () => arrow(-1, 0),
      ArrowUp: () => arrow(0, 1),
      ArrowDown: () => arrow(0, -1),
      Delete: () => this.#image && this.#actions.remove(this.#image),
    };
    if (keys[event.key] && keys[event.key]?.() !== false) event.preventDefault();
  }
}
