// Who is signed in: the button in the bar, and the panel that says what they may do and how much they have.
import { timestampDate } from "@bufbuild/protobuf/wkt";

import { button, h, icon, say } from "../dom";
import type { Child } from "../dom";
import { bytes, date, decimal, number, t } from "../i18n";
import { toast } from "../toast";
import type { Access } from "./access";

const MAY = { read: "mayRead", write: "mayWrite", delete: "mayDelete", admin: "mayAdmin" } as const;

export class Account {
  readonly element: HTMLDialogElement;
  /** The button in the bar. */
  readonly button: HTMLButtonElement;
  readonly #name = h("span");
  readonly #facts = h("dl", { class: "facts" });
  readonly #out = button("leave", t("signOut"), () => void this.#signOut(), { shown: true });
  readonly #access: Access;
  readonly #ask: () => void;

  /** `ask` asks for a token. */
  constructor(access: Access, ask: () => void) {
    this.#access = access;
    this.#ask = ask;
    this.button = h("button", { type: "button", class: "button quiet account", hidden: true, onclick: () => this.#pressed() }, icon("person"), this.#name);
    this.element = h(
      "dialog",
      { class: "who", "aria-labelledby": "who-title" },
      h("div", { class: "head" }, h("h2", { id: "who-title" }, t("account")), button("close", t("close"), () => this.element.close())),
      h("div", { class: "side" }, this.#facts, h("div", { class: "row end" }, this.#out)),
    );
  }

  /** Shows who the page is now. */
  draw(): void {
    const { subject, canSignIn, hasSession } = this.#access;
    this.button.hidden = !subject && !canSignIn;
    const label = subject ? t("signedInAs", { name: name(subject) }) : t("signIn");
    say(this.#name, subject ? name(subject) : label);
    this.button.setAttribute("aria-label", label);
    this.button.title = label;
    this.#out.hidden = !hasSession;
    this.#facts.replaceChildren(...this.#rows());
    if (!subject && this.element.open) this.element.close();
  }

  #pressed(): void {
    if (!this.#access.subject) return this.#ask();
    this.element.showModal();
    void this.#access.check(); // what is in use has changed since
  }

  #rows(): HTMLElement[] {
    const { message, scopes, subject } = this.#access;
    if (!message) return [];
    const rows: HTMLElement[] = [];
    const row = (title: string, ...value: Child[]) => rows.push(h("dt", null, title), h("dd", null, ...value));
    row(t("name"), subject);
    row(t("may"), [...scopes.map((scope) => t(MAY[scope])), message.own && t("ownOnly")].filter(Boolean).join(", "));
    if (message.expireTime) row(t("until"), date(timestampDate(message.expireTime)));
    if (!message.owner) return rows;
    const { usage, quota } = message;
    const used = (title: string, count: bigint | undefined, most: bigint | undefined, say: (count: number) => string) => {
      const has = Number(count ?? 0n);
      if (most === undefined) return row(title, say(has));
      const bar = h("progress", { max: 1, value: most ? Math.min(1, has / Number(most)) : 1, "aria-label": title });
      row(title, t("ofQuota", { used: say(has), quota: say(Number(most)) }), bar);
    };
    used(t("ownBytes"), usage?.storedBytes, quota?.storedBytes, bytes);
    used(t("ownImages"), usage?.storedImages, quota?.storedImages, number);
    used(t("ownUploads"), usage?.openUploads, quota?.openUploads, number);
    const rates = [
      quota?.callsPerSecond !== undefined && t("callsRate", { count: decimal(quota.callsPerSecond) }),
      quota?.bytesPerSecond !== undefined && t("bytesRate", { count: bytes(quota.bytesPerSecond) }),
    ].filter(Boolean);
    if (rates.length > 0) row(t("atMost"), rates.join(", "));
    return rows;
  }

  async #signOut(): Promise<void> {
    this.#out.disabled = true;
    const done = await this.#access.signOut();
    this.#out.disabled = false;
    // Nothing of what was there for whoever has signed out stays on the page.
    if (done) location.reload();
    else toast(t("noAnswer"));
  }
}

/** A subject without its kind. */
function name(subject: string): string {
  return subject.replace(/^\w+:/, "");
}
