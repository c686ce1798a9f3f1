// Who the page is to the server, and what it may do there.
import { Scope } from "#gen/conexiones/v1/access_pb";
import type { Access as Message } from "#gen/conexiones/v1/access_pb";

import { delayAfter, needsSignIn, pause, problem } from "../calls";
import { t } from "../i18n";
import { language } from "../language";
import { uploads } from "../rpc";
import { traceparent } from "../traces";
import { tell, whenElsewhere, whenRefused } from "./session";

const SCOPES = { read: Scope.READ, write: Scope.WRITE, delete: Scope.DELETE, admin: Scope.ADMIN };
export type ScopeName = keyof typeof SCOPES;
export const SCOPE_NAMES = Object.keys(SCOPES) as ScopeName[];

export interface Listener {
  /** Who the page is was found out, perhaps as before. */
  changed: () => void;
  /** The server wants a token. `ended` says that there was a session. */
  ask: (ended: boolean) => void;
}

/** Takes a token out of the address, so that neither the address bar nor the browser's history shows it. */
export function tokenInAddress(): string {
  const [, token] = /^#token=(.*)$/s.exec(location.hash) ?? [];
  if (token === undefined) return "";
  history.replaceState(history.state, "", location.pathname);
  return token;
}

export class Access {
  /** Undefined until the server has said it, and if it lets nobody in without a credential. */
  message: Message | undefined;
  /** Whether the server has said anything. */
  known = false;
  readonly #listener: Listener;
  #checking: Promise<void> | undefined;

  constructor(listener: Listener) {
    this.#listener = listener;
    whenRefused(() => void this.#refused());
    whenElsewhere(() => void this.check());
  }

  may(scope: ScopeName): boolean {
    return this.message?.scopes.includes(SCOPES[scope]) ?? false;
  }

  get scopes(): ScopeName[] {
    return SCOPE_NAMES.filter((name) => this.may(name));
  }

  /** Empty for a caller who has shown no credential. */
  get subject(): string {
    return this.message?.subject ?? "";
  }

  /** Whether the server gives more to those who sign in. */
  get canSignIn(): boolean {
    return this.known && this.subject === "" && this.scopes.length < SCOPE_NAMES.length;
  }

  /** Whether there is a session, which can be ended. Who has a certificate has it always. */
  get hasSession(): boolean {
    return this.subject.startsWith("token:");
  }

  /** Asks the server who the page is, until it answers. */
  async check(): Promise<void> {
    await (this.#checking ??= this.#check().finally(() => (this.#checking = undefined)));
  }

  async #check(): Promise<void> {
    const before = this.subject;
    for (let attempts = 0; ; attempts++) {
      try {
        this.message = (await uploads.getLimits({})).access;
        break;
      } catch (error) {
        const found = problem(error);
        if (needsSignIn(found)) {
          this.message = undefined;
          break;
        }
        await pause(Math.max(found.retryAfter, delayAfter(attempts)), new AbortController().signal);
      }
    }
    this.known = true;
    // What is on the page was there for somebody else.
    if (before && this.subject && this.subject !== before) return location.reload();
    this.#listener.changed();
    if (!this.message) this.#listener.ask(before !== "");
  }

  /** A call was not let in. */
  async #refused(): Promise<void> {
    if (this.#checking) return;
    const before = this.subject;
    await this.check();
    if (this.subject) tell("in");
    else if (this.message && before) this.#listener.ask(true);
  }

  /** Begins a session. Gives why the server refuses it; empty if it does not. */
  async signIn(token: string): Promise<string> {
    if (!/^[\x21-\x7e]+$/.test(token)) return t("tokenShape");
    try {
      const reply = await fetch("/session", {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, traceparent: traceparent() },
      });
      // A server that asks for no token has no sessions.
      if (!reply.ok && reply.status !== 404) {
        const { detail = "", detalle = "" } = (await reply.json()) as { detail?: string; detalle?: string };
        return (language === "es" && detalle) || detail || t("noAnswer");
      }
    } catch {
      return t("noAnswer");
    }
    await this.#checking; // it may have begun before the session did
    await this.check();
    if (this.message) tell("in");
    return "";
  }

  /** Ends the session. Gives whether the server has done it. */
  async signOut(): Promise<boolean> {
    try {
      const reply = await fetch("/session", { method: "DELETE", headers: { traceparent: traceparent() } });
      if (!reply.ok) return false;
    } catch {
      return false;
    }
    tell("out");
    return true;
  }
}
