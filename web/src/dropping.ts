// Files that are dropped anywhere on the page, or pasted.
import { h, icon } from "./dom";
import { t } from "./i18n";
import { transferred } from "./uploads/sources";
import type { Source } from "./uploads/sources";

/** Fields that take what is dropped on them by themselves. */
const FIELDS = "input, textarea, select";

const curtain = h("div", { class: "curtain", "aria-hidden": "true" }, h("p", null, icon("up"), t("drop")));

/** Calls `add` with the files, if there `may` be any. What else is dropped is ignored, so that it never replaces the page. */
export function takeDrops(add: (sources: AsyncIterable<Source>) => void, may: () => boolean): void {
  let depth = 0;
  const carriesFiles = (event: DragEvent) => may() && (event.dataTransfer?.types.includes("Files") ?? false);
  const inField = (event: Event) => (event.target as Element | null)?.closest?.(FIELDS) ?? undefined;
  const drape = (to: number) => {
    depth = Math.max(0, to);
    // An open dialog hides all that is outside of it.
    if (depth > 0) (document.querySelector("dialog[open]") ?? document.body).append(curtain);
    curtain.classList.toggle("down", depth > 0);
  };
  addEventListener("dragenter", (event) => carriesFiles(event) && drape(depth + 1));
  addEventListener("dragleave", (event) => carriesFiles(event) && drape(depth - 1));
  addEventListener("dragover", (event) => {
    if (inField(event)) return;
    event.preventDefault();
    if (event.dataTransfer && !carriesFiles(event)) event.dataTransfer.dropEffect = "none";
  });
  addEventListener("drop", (event) => {
    drape(0);
    if (inField(event)) return;
    event.preventDefault();
    if (event.dataTransfer && carriesFiles(event)) add(transferred(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    if (!event.clipboardData?.types.includes("Files") || !may()) return;
    event.preventDefault();
    add(transferred(event.clipboardData));
  });
}
