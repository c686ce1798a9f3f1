// The list of uploads beside the gallery, each with its progress and its buttons, and what they are together.
import { button, h, icon, say, set } from "../dom";
import { bytes, duration, t } from "../i18n";
import { UNDER_WAY } from "./queue";
import type { Queue } from "./queue";
import { chosen } from "./sources";
import { ACTIVE, FAILED, STOPPED } from "./upload";
import type { State, Upload } from "./upload";

/** How many rows are in the document. Further uploads are only counted. */
const MAX_ROWS = 60;
/** The least time between two drawings. */
const REDRAW_MS = 200;

/** The states in the order of the rows. */
const ORDER: State[] = [...ACTIVE, ...STOPPED, "refused", "waiting", "ready", "cancelled"];

export class Tray {
  readonly element: HTMLElement;
  readonly #queue: Queue;
  readonly #list = h("ul", { class: "rows", id: "uploads" });
  readonly #summary = h("h2", { "aria-live": "polite" });
  readonly #bar = h("progress", { max: 1000, value: 0, "aria-label": t("progressAll") });
  readonly #total = h("p", { class: "total" });
  readonly #more = h("p", { class: "more" });
  readonly #retry: HTMLButtonElement;
  readonly #cancel: HTMLButtonElement;
  readonly #clear: HTMLButtonElement;
  readonly #fold: HTMLButtonElement;
  readonly #rows = new Map<Upload, Row>();
  readonly #drawn: () => void;
  #asked: ReturnType<typeof setTimeout> | undefined;

  /** `drawn` is called after each drawing. */
  constructor(queue: Queue, drawn: () => void) {
    this.#queue = queue;
    this.#drawn = drawn;
    const small = { kind: "small" };
    this.#retry = button("again", t("retryAll"), () => queue.retryAll(), small);
    this.#cancel = button("close", t("cancelAll"), () => queue.cancelAll(), small);
    this.#clear = button("done", t("clear"), () => queue.clearEnded(), small);
    this.#fold = button("fold", t("showUploads"), () => this.#turn(), small);
    set(this.#fold, "aria-controls", this.#list.id);
    set(this.#fold, "aria-expanded", "true");
    this.element = h(
      "section",
      { class: "tray", "aria-label": t("uploads"), hidden: true },
      h(
        "div",
        { class: "head" },
        h("div", { class: "what" }, this.#summary, this.#bar, this.#total),
        h("span", { class: "buttons" }, this.#retry, this.#cancel, this.#clear, this.#fold),
      ),
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

  #turn(): void {
    const folded = this.element.classList.toggle("folded");
    set(this.#fold, "aria-expanded", String(!folded));
    this.#drawn();
  }

  #draw(): void {
    const queue = this.#queue;
    const count = queue.count();
    this.element.hidden = count === 0;
    this.#describe();
    const shown = new Set<Upload>();
    for (const upload of queue.all(ORDER)) {
      if (shown.size === MAX_ROWS) break;
      shown.add(upload);
    }
    for (const [upload, row] of this.#rows) {
      if (shown.has(upload)) continue;
      row.element.remove();
      this.#rows.delete(upload);
    }
    [...shown].forEach((upload, i) => {
      let row = this.#rows.get(upload);
      if (!row) this.#rows.set(upload, (row = new Row(upload, queue)));
      row.draw();
      // Only rows that are out of place are moved, because a row loses the focus when it is moved.
      if (this.#list.children[i] !== row.element && !row.element.contains(document.activeElement)) {
        this.#list.insertBefore(row.element, this.#list.children[i] ?? null);
      } else if (!row.element.isConnected) this.#list.append(row.element);
    });
    say(this.#more, count > MAX_ROWS ? t("moreUploads", { n: count - MAX_ROWS }) : "");
    this.#drawn();
  }

  /** What all uploads are together, and what can be done with all of them. */
  #describe(): void {
    const queue = this.#queue;
    const underWay = queue.count(UNDER_WAY);
    const stopped = queue.count(STOPPED);
    const [ready, refused, cancelled] = [queue.count(["ready"]), queue.count(["refused"]), queue.count(["cancelled"])];
    const ended = [
      ready && t("storedCount", { n: ready }),
      refused && t("refusedCount", { n: refused }),
      cancelled && t("cancelledCount", { n: cancelled }),
    ].filter(Boolean) as string[];
    if (underWay) say(this.#summary, t("uploading", { n: underWay }));
    else if (stopped) say(this.#summary, t("uploadsStopped", { n: stopped }));
    else if (refused || cancelled) say(this.#summary, ended.splice(0).join(", "));
    else say(this.#summary, t("uploadsDone"));
    const { done, of, bytesPerSecond } = queue.total();
    const moving = underWay + stopped > 0;
    this.#bar.hidden = !moving;
    this.#bar.value = of ? (1000 * done) / of : 0;
    const sent = moving ? [t("sendingStart", { done: bytes(done), total: bytes(of) })] : [];
    if (moving && bytesPerSecond) sent.push(t("left", { left: duration((of - done) / bytesPerSecond) }));
    say(this.#total, [...sent, ...ended].join(" · "));
    this.#retry.hidden = ![...queue.all([...FAILED, "paused", "elsewhere"])].some((upload) => upload.retryable || !upload.ended);
    this.#cancel.hidden = !moving;
    this.#clear.hidden = ready + refused + cancelled === 0;
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
    const callId = upload.failure?.callId;
    this.#text.title = callId ? t("callId", { id: callId }) : "";
    const done = upload.size ? (1000 * upload.committed) / upload.size : 0;
    if (this.#bar.value !== done) this.#bar.value = done;
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
    const queue = this.#queue;
    const small = { kind: "small" };
    const cancel = () => button("close", t("cancel"), () => queue.cancel(upload), small);
    switch (upload.state) {
      case "ready":
        return upload.imageId ? [h("a", { class: "button text", href: `#/image/${upload.imageId}` }, t("show"))] : [];
      case "refused":
      case "cancelled": {
        const remove = button("close", t("remove"), () => queue.remove(upload), small);
        return upload.retryable ? [button("again", t("again"), () => queue.retry(upload), small), remove] : [remove];
      }
      case "interrupted":
        return [this.#again(), cancel()];
      case "paused":
      case "elsewhere":
        return [button("play", t("resume"), () => queue.resume(upload), small), cancel()];
      default:
        return [button("pause", t("pause"), () => queue.pause(upload), small), cancel()];
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
    case "busy":
    case "locked":
    case "slowed":
      return t(upload.state);
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
