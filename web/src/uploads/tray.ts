// The list of uploads at the edge of the page, each with its progress and its buttons.
import { button, h, icon, say } from "../dom";
import { bytes, duration, t } from "../i18n";
import type { Queue } from "./queue";
import { chosen } from "./sources";
import type { State, Upload } from "./upload";

/** How many rows are in the document. Further uploads are only counted. */
const MAX_ROWS = 60;
/** The least time between two drawings. */
const REDRAW_MS = 150;

const ORDER: State[] = ["checking", "sending", "finishing", "unreachable", "interrupted", "elsewhere", "paused", "refused", "waiting", "ready", "cancelled"];

export class Tray {
  readonly element: HTMLElement;
  readonly #queue: Queue;
  readonly #list = h("ul", { class: "rows" });
  readonly #summary = h("h2", { "aria-live": "polite" });
  readonly #more = h("p", { class: "more" });
  readonly #rows = new Map<Upload, Row>();
  #asked: ReturnType<typeof setTimeout> | undefined;

  constructor(queue: Queue) {
    this.#queue = queue;
    const clear = button("done", t("clear"), () => queue.clearEnded(), { kind: "small" });
    this.element = h(
      "section",
      { class: "tray", "aria-label": t("uploads"), hidden: true },
      h("div", { class: "head" }, this.#summary, clear),
      this.#list,
      this.#more,
    );
  }

  /** Draws soon, but at most once in REDRAW_MS. */
  render(): void {
    this.#asked ??= setTimeout(() => {
      this.#asked = undefined;
      this.#draw();
    }, REDRAW_MS);
  }

  #draw(): void {
    const { all } = this.#queue;
    this.element.hidden = all.length === 0;
    const active = all.filter(({ active, state }) => active || state === "waiting").length;
    const stopped = all.filter(({ state }) => ["interrupted", "paused", "elsewhere"].includes(state)).length;
    if (active) say(this.#summary, t("uploading", { n: active }));
    else if (stopped) say(this.#summary, t("uploadsStopped", { n: stopped }));
    else say(this.#summary, t("uploadsDone"));
    const shown = [...all].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state)).slice(0, MAX_ROWS);
    for (const [upload, row] of this.#rows) {
      if (shown.includes(upload)) continue;
      row.element.remove();
      this.#rows.delete(upload);
    }
    shown.forEach((upload, i) => {
      let row = this.#rows.get(upload);
      if (!row) this.#rows.set(upload, (row = new Row(upload, this.#queue)));
      row.draw();
      // Only rows that are out of place are moved, because a row loses the focus when it is moved.
      if (this.#list.children[i] !== row.element && !row.element.contains(document.activeElement)) {
        this.#list.insertBefore(row.element, this.#list.children[i] ?? null);
      } else if (!row.element.isConnected) this.#list.append(row.element);
    });
    say(this.#more, all.length > MAX_ROWS ? `+ ${all.length - MAX_ROWS}` : "");
  }
}

class Row {
  readonly element: HTMLLIElement;
  readonly #upload: Upload;
  readonly #queue: Queue;
  readonly #name = h("span", { class: "name" });
  readonly #text = h("span", { class: "state" });
  readonly #bar: HTMLProgressElement;
  readonly #mark = h("span", { class: "mark" });
  readonly #buttons = h("span", { class: "buttons" });
  #drawn: State | undefined;

  constructor(upload: Upload, queue: Queue) {
    this.#upload = upload;
    this.#queue = queue;
    this.#bar = h("progress", { max: 1000, value: 0, "aria-label": t("progress", { name: upload.name }) });
    say(this.#name, upload.name);
    this.#name.title = upload.name;
    this.element = h("li", { class: "upload" }, this.#mark, h("div", { class: "what" }, this.#name, this.#bar, this.#text), this.#buttons);
  }

  draw(): void {
    const upload = this.#upload;
    say(this.#text, describe(upload));
    this.#bar.value = upload.size ? (1000 * upload.committed) / upload.size : 0;
    if (this.#drawn === upload.state) return;
    this.#drawn = upload.state;
    this.element.dataset["state"] = upload.state;
    this.#bar.hidden = upload.ended || upload.state === "waiting";
    const marks = { ready: "done", refused: "problem", interrupted: "problem", paused: "pause", cancelled: "close" } as const;
    this.#mark.replaceChildren(icon(marks[upload.state as keyof typeof marks] ?? "up"));
    const had = this.#buttons.contains(document.activeElement);
    this.#buttons.replaceChildren(...this.#actions());
    if (had) this.#buttons.querySelector<HTMLElement>("button, a")?.focus();
  }

  #actions(): Element[] {
    const upload = this.#upload;
    const small = { kind: "small" };
    const cancel = button("close", t("cancel"), () => void upload.cancel().finally(() => this.#queue.advance()), small);
    const goOn = () => {
      upload.requeue();
      this.#queue.advance();
    };
    switch (upload.state) {
      case "ready": {
        const link = h("a", { class: "button text", href: `#/image/${upload.image?.id ?? ""}` }, t("show"));
        return upload.image ? [link] : [];
      }
      case "refused":
      case "cancelled":
        return [button("close", t("remove"), () => this.#queue.remove(upload), small)];
      case "interrupted":
        return [this.#again(), cancel];
      case "paused":
      case "elsewhere":
        return [button("play", t("resume"), goOn, small), cancel];
      default: {
        const stop = () => {
          upload.pause();
          this.#queue.advance();
        };
        return [button("pause", t("pause"), stop, small), cancel];
      }
    }
  }

  /** The element that brings the file back, from the browser's handle or by choosing it again. */
  #again(): Element {
    const upload = this.#upload;
    const { handle } = upload.remembered;
    const failed = () => {
      upload.failure = { reason: "FILE_CHANGED", message: t("changed") };
      this.draw();
    };
    const take = (file: File | undefined) => {
      if (!file) return;
      if (!upload.isOf(file)) {
        upload.failure = { reason: "", message: t("otherFile", { name: upload.name, total: bytes(upload.size) }) };
        this.draw();
        return;
      }
      upload.failure = undefined;
      upload.attach(file);
      this.#queue.advance();
    };
    if (handle) {
      const open = async () => {
        const permitted = handle as unknown as { requestPermission?: (mode: object) => Promise<PermissionState> };
        if ((await permitted.requestPermission?.({ mode: "read" })) === "denied") return;
        take(await handle.getFile());
      };
      return button("play", t("resume"), () => void open().catch(failed), { kind: "small" });
    }
    const input = h("input", { type: "file", class: "offscreen", "data-again": upload.name, tabindex: "-1", "aria-hidden": "true" });
    input.addEventListener("change", () => take(chosen(input)[0]?.file));
    const choose = h("button", { type: "button", class: "button text", onclick: () => input.click() }, t("chooseAgain"));
    return h("span", null, input, choose);
  }
}

function describe(upload: Upload): string {
  const done = bytes(upload.committed);
  const total = bytes(upload.size);
  switch (upload.state) {
    case "waiting":
      return `${t("waiting")} · ${total}`;
    case "checking":
      return upload.committed > 0 ? t("checking") : t("sendingStart", { done, total });
    case "sending": {
      const rate = upload.rate.bytesPerSecond;
      if (!rate) return t("sendingStart", { done, total });
      return t("sending", { done, total, rate: bytes(rate), left: duration((upload.size - upload.committed) / rate) });
    }
    case "finishing":
      return t("finishing");
    case "unreachable":
      return t("unreachable");
    case "paused":
      return t("paused", { done, total });
    case "interrupted":
      if (upload.failure) return upload.failure.message;
      return t(upload.remembered.handle ? "interruptedHandle" : "interrupted", { done, total });
    case "elsewhere":
      return t("elsewhere");
    case "ready":
      return `${t("ready")} · ${total}`;
    case "refused":
      return upload.failure ? upload.failure.message : "";
    case "cancelled":
      return t("cancelled");
  }
}
