// What the page, its other windows and its workers tell each other about the session: that there is one again, or that
// it was ended. The session itself is in a cookie that no script can read.
import { Code } from "@connectrpc/connect";

import { delayAfter, pause } from "../pauses";

/** "in": somebody has signed in. "out": somebody has signed out. */
export type News = "in" | "out";

/** After this time a call that was not let in is tried again, whatever was heard. */
const RETRY_MS = 30_000;

const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("conexiones.session") : undefined;
const heard = new EventTarget();
channel?.addEventListener("message", ({ data }: MessageEvent<News>) => {
  heard.dispatchEvent(new Event(data));
  heard.dispatchEvent(new Event("elsewhere"));
});

/** Says it here, in the workers, and in all other windows. */
export function tell(news: News): void {
  heard.dispatchEvent(new Event(news));
  channel?.postMessage(news);
}

/** Calls `listener` when another window has said something. */
export function whenElsewhere(listener: () => void): void {
  heard.addEventListener("elsewhere", listener);
}

/** The server did not let a call of this page in. */
export function refused(): void {
  heard.dispatchEvent(new Event("refused"));
}

export function whenRefused(listener: () => void): void {
  heard.addEventListener("refused", listener);
}

/** Whether nothing but signing in, perhaps as somebody else, makes such a call succeed. */
export function needsSignIn({ code, reason }: { code: Code; reason: string }): boolean {
  return code === Code.Unauthenticated || reason === "SCOPE_MISSING";
}

/** Waits until somebody has signed in. Rejects when aborted. */
export async function signedIn(signal: AbortSignal = new AbortController().signal): Promise<void> {
  signal.throwIfAborted();
  const over = new AbortController();
  const stop = () => over.abort();
  for (const [target, name] of [[heard, "in"], [signal, "abort"]] as const) target.addEventListener(name, stop, { once: true });
  await pause(RETRY_MS, over.signal).catch(() => undefined);
  heard.removeEventListener("in", stop);
  signal.removeEventListener("abort", stop);
  // Not at once: what is refused again and again must not be asked for all the time.
  await pause(delayAfter(0), signal);
}
