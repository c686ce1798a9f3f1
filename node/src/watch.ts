// What happens to images, for as long as somebody listens.
import { ImageService } from "./gen/conexiones/v1/images_pb.js";
import { Code, makeError } from "./errors.js";
import { image as imageOf } from "./images.js";
import type { Image } from "./images.js";
import { LONGEST_TIMER_MS, Patience, Scope } from "./patience.js";
import type { Rpc } from "./rpc.js";

export interface WatchOptions {
  /** Of the last event seen: what came after it is told first. Without it: from now on. */
  resumeToken?: string | undefined;
  /** Only this user's. */
  user?: string | undefined;
  /** Ends it; `signal.reason` is thrown. */
  signal?: AbortSignal | undefined;
  /** Called whenever the server is heard to be there: connected at first, and every 20 seconds while it is quiet. */
  onHeartbeat?: ((resumeToken: string) => void) | undefined;
  /** Milliseconds without a word after which the connection counts as dead. Default 45,000; heartbeats are every 20,000. */
  silenceMs?: number | undefined;
  /** Milliseconds without the server after which it gives up; Infinity for never. Default: those of the client. */
  patienceMs?: number | undefined;
}

/** `resumeToken` is where to go on in another process. */
export type WatchEvent =
  | { kind: "stored"; image: Image; resumeToken: string }
  /** The facts of a stored image became known; one whose bytes were known before has them when stored. */
  | { kind: "described"; image: Image; resumeToken: string }
  | { kind: "deleted"; id: string; resumeToken: string }
  /** The history is gone, in part or whole: list the images anew. */
  | { kind: "resync"; resumeToken: string };

/** Two heartbeats that did not come. */
const SILENCE_MS = 45_000;

export async function* watch(
  rpc: Rpc,
  options: WatchOptions & { patienceMs: number },
): AsyncGenerator<WatchEvent, void, undefined> {
  const { user = "", onHeartbeat, silenceMs = SILENCE_MS, patienceMs } = options;
  const scope = new Scope(options.signal, undefined);
  const patience = new Patience(rpc, patienceMs, scope.signal);
  let resumeToken = options.resumeToken ?? "";
  try {
    for (;;) {
      const request = { resumeToken, user };
      const stream = rpc.serverStream(ImageService.method.watchImages, request, { signal: scope.signal });
      const listen = () => setTimeout(() => stream.abandon(), Math.min(silenceMs, LONGEST_TIMER_MS));
      let silence = listen();
      try {
        for await (const message of stream) {
          clearTimeout(silence);
          patience.progress();
          resumeToken = message.resumeToken || resumeToken;
          const { case: kind, value } = message.event;
          if (kind === "stored" || kind === "described") yield { kind, image: imageOf(value), resumeToken };
          else if (kind === "deletedId") yield { kind: "deleted", id: value, resumeToken };
          else if (kind === "resync") yield { kind, resumeToken };
          else onHeartbeat?.(resumeToken);
          silence = listen();
        }
        // It never ends by itself: whoever ended it is about to restart.
        throw makeError({ code: Code.UNAVAILABLE, message: "The server ended the stream." });
      } catch (error) {
        await patience.after(error);
      } finally {
        clearTimeout(silence);
      }
    }
  } finally {
    scope.close();
  }
}
