// The line above the gallery that says what the page may not do.
import { h, icon, say } from "../dom";
import { t } from "../i18n";
import type { Access } from "./access";

export class Notice {
  readonly #text = h("span");
  readonly element = h("p", { class: "notice", role: "status", hidden: true }, icon("key"), this.#text);

  draw(access: Access): void {
    const text = access.message ? sentence(access) : "";
    say(this.#text, text);
    this.element.hidden = !text;
  }
}

function sentence(access: Access): string {
  const may = (scope: Parameters<Access["may"]>[0]) => access.may(scope);
  if (may("read") && may("write")) return "";
  if (!access.subject && may("read")) return t("signInToAdd");
  if (may("read")) return may("delete") ? t("noAdd") : t("readOnly");
  return may("write") ? t("noSight") : t("nothingHere");
}
