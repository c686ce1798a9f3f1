// The dialog that asks for a token. The page keeps it for no longer than the call that begins a session with it.
import { h, icon, say } from "../dom";
import { t } from "../i18n";

export class Ask {
  readonly element: HTMLDialogElement;
  readonly #intro = h("p", { class: "intro", id: "ask-intro" });
  readonly #field = h("input", {
    type: "password",
    id: "ask-token",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": "ask-intro ask-why",
  });
  readonly #why = h("p", { class: "why", id: "ask-why", role: "alert" });
  readonly #send = h("button", { class: "button primary" }, t("signIn"));
  readonly #leave = h("button", { type: "button", class: "button", onclick: () => this.close() }, t("cancel"));
  readonly #signIn: (token: string) => Promise<string>;
  #needed = false;

  /** `signIn` gives why the server refuses a token; empty if it does not. */
  constructor(signIn: (token: string) => Promise<string>) {
    this.#signIn = signIn;
    const submit = (event: SubmitEvent) => {
      event.preventDefault();
      void this.#use(this.#field.value);
    };
    this.element = h(
      "dialog",
      { class: "ask", "aria-labelledby": "ask-title" },
      h(
        "form",
        { onsubmit: submit },
        icon("key"),
        h("h2", { id: "ask-title" }, t("askTitle")),
        this.#intro,
        h("label", { for: "ask-token" }, t("token")),
        this.#field,
        this.#why,
        h("div", { class: "row" }, this.#send, this.#leave),
      ),
    );
    this.element.addEventListener("cancel", (event) => this.#needed && event.preventDefault());
    // Some browsers close a dialog at the second Escape, whatever the page says.
    this.element.addEventListener("close", () => this.#needed && this.element.showModal());
  }

  /** Asks. `needed`: there is nothing that the page may do without. `ended`: there was a session. */
  show({ needed, ended }: { needed: boolean; ended: boolean }): void {
    this.#needed = needed;
    this.#leave.hidden = needed;
    if (this.element.open) return;
    say(this.#intro, ended ? t("sessionEnded") : t("askHint"));
    say(this.#why, "");
    this.#field.value = "";
    this.element.showModal();
    this.#field.focus();
  }

  /** Says why a token was refused, and asks for another one. */
  refuse(why: string): void {
    this.show({ needed: this.#needed, ended: false });
    say(this.#why, why);
    this.#field.select();
  }

  close(): void {
    this.#needed = false;
    this.#field.value = "";
    if (this.element.open) this.element.close();
  }

  /** Signs in with a token, and closes the dialog, or says why not. */
  async #use(token: string): Promise<void> {
    this.#send.disabled = true;
    say(this.#why, "");
    // What is copied from a terminal or a message often has blanks or quotes around it.
    const why = await this.#signIn(token.replace(/^[\s"'`]+|[\s"'`]+$/g, ""));
    this.#send.disabled = false;
    if (why) this.refuse(why);
    else this.close();
  }
}
