// Loads the picture of an image into an element. A server that is away is told from an image that cannot be shown:
// the one is tried again until it answers, the other says its cause.
import { refused } from "./access/session";
import { delayAfter } from "./calls";

export interface Listener {
  shown: () => void;
  /** The server does not answer now. The picture is tried again. */
  away: () => void;
  /** `cause` is that of NO_RENDITION (see docs/errors.md); empty if there is another reason. */
  failed: (cause: string) => void;
}

/** Pictures that wait for the server. */
const waiting = new Set<Picture>();
let timer: ReturnType<typeof setTimeout> | undefined;
let attempts = 0;

/** Loads all pictures again that wait for the server. */
export function serverIsBack(): void {
  clearTimeout(timer);
  timer = undefined;
  attempts = 0;
  const all = [...waiting];
  waiting.clear();
  for (const picture of all) picture.again();
}

/** While the server is away, one picture tries whether it is back. The others follow when that one is shown. */
function probe(): void {
  timer ??= setTimeout(() => {
    timer = undefined;
    attempts += 1;
    waiting.values().next().value?.again();
  }, delayAfter(attempts));
}

export class Picture {
  readonly element: HTMLImageElement;
  readonly #listener: Listener;
  #url = "";
  /** How often the server sent what the browser could not decode. */
  #undecoded = 0;

  constructor(element: HTMLImageElement, listener: Listener) {
    this.element = element;
    this.#listener = listener;
    element.addEventListener("load", () => {
      waiting.delete(this);
      if (waiting.size > 0) serverIsBack();
      listener.shown();
    });
    element.addEventListener("error", () => void this.#failed());
  }

  get url(): string {
    return this.#url;
  }

  load(url: string): void {
    if (url === this.#url) return;
    this.#url = url;
    this.#undecoded = 0;
    this.element.src = url;
  }

  again(): void {
    if (this.#url) this.element.src = this.#url;
  }

  /** Shows nothing, and stops loading. */
  clear(): void {
    this.#url = "";
    waiting.delete(this);
    this.element.removeAttribute("src");
  }

  async #failed(): Promise<void> {
    const url = this.#url;
    if (!url) return;
    const cause = await why(url);
    if (url !== this.#url) return;
    if (cause === "sent" && ++this.#undecoded < 2) return this.again();
    if (cause === "away") {
      waiting.add(this);
      probe();
      return this.#listener.away();
    }
    waiting.delete(this);
    this.#listener.failed(cause === "sent" ? "" : cause);
  }
}

/** Why the server does not send this picture: "away", the cause of NO_RENDITION, "" for any other reason; or "sent" if
 *  it does send it now. */
async function why(url: string): Promise<string> {
  try {
    const reply = await fetch(url);
    if (reply.ok) {
      await reply.body?.cancel();
      return "sent";
    }
    const { reason = "", facts = {} } = (await reply.json()) as { reason?: string; facts?: { cause?: string } };
    if (reason === "NO_RENDITION") return facts.cause ?? "";
    if (reply.status === 401) {
      refused();
      return "away";
    }
    // Other refusals stay as they are, but for those of a server that is busy, shuts down or has lost its storage.
    return reason && reply.status !== 429 && reply.status < 500 || reason === "BLOB_CORRUPT" ? "" : "away";
  } catch {
    return "away";
  }
}
