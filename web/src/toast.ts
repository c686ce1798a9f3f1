// Short notes at the edge of the page, which a screen reader reads aloud.
import { button, h, say } from "./dom";
import { t } from "./i18n";

/** How long a note stays by default. */
const STAY_MS = 6_000;

export const element = h("div", { class: "toasts", role: "status", "aria-live": "polite" });

// When the dialog is closed that has the notes, the page has them again.
document.addEventListener("close", () => document.body.append(element), true);

export interface Toast {
  close: () => void;
}

/** Shows a note for `stay` milliseconds. With `act` it has a button. */
export function toast(text: string, act?: { label: string; run: () => void }, stay = STAY_MS): Toast {
  const message = h("span");
  const note = h("div", { class: "toast" }, message);
  const close = () => {
    clearTimeout(timer);
    note.remove();
  };
  const timer = setTimeout(close, stay);
  if (act) {
    const pressed = () => {
      close();
      act.run();
    };
    note.append(h("button", { type: "button", class: "button text", onclick: pressed }, act.label));
  }
  note.append(button("close", t("close"), close, { kind: "small" }));
  // An open dialog hides all that is outside of it.
  const layer = document.querySelector("dialog[open]") ?? document.body;
  if (element.parentElement !== layer) layer.append(element);
  element.append(note);
  while (element.childElementCount > 3) element.firstElementChild?.remove();
  // A screen reader only reads text that is written after the element was added.
  requestAnimationFrame(() => say(message, text));
  return { close };
}

/** Copies a text. Without a secure context there is no clipboard API, so it copies a selection instead. */
export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "offscreen", readonly: true, "aria-hidden": "true" }, text);
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/** A button that copies a text, and confirms it for a moment. */
export function copyButton(text: () => string, label = t("copy")): HTMLButtonElement {
  const made = button("copy", label, () => void pressed(), { shown: true, kind: "text" });
  const word = made.querySelector("span") as HTMLSpanElement;
  made.setAttribute("aria-live", "polite");
  const pressed = async () => {
    await copy(text());
    say(word, t("copied"));
    setTimeout(() => say(word, label), 1_500);
  };
  return made;
}
