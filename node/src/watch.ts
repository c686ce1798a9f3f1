// The events of images, over as many connections as it takes.
import { ImageService } from "./gen/conexiones/v1/images_pb.js";
import { Code, makeError } from "./errors.js";
import { check, listener, milliseconds, signal, text } from "./fields.js";
import type { Checks } from "./fields.js";
import { image as imageOf } from "./images.js";
import type { Image } from "./images.js";
import { Backoff } from "./backoff.js";
import type { Rpc } from "./rpc.js";
import { LONGEST_TIMER_MS, Scope } from "./scope.js";

export interface WatchOptions {
  /** The token of the last event seen: watching begins after it. Without it, watching begins now. */
  resumeToken?: string | undefined;
  /** Only images of this user. */
  user?: string | undefined;
  /** Only images of this owner, such as "token:backend". */
  owner?: string | undefined;
  /** Ends watching; `signal.reason` is thrown. */
  signal?: AbortSignal | undefined;
  /** Called for every heartbeat of the server: when it begins to listen, and every 20 seconds without an event. */
  onHeartbeat?: ((resumeToken: string) => void) | undefined;
  /** Milliseconds of silence after which the connection counts as dead. Default 45,000; heartbeats come every 20,000. */
  silenceMs?: number | undefined;
  /** Milliseconds without the server after which it gives up; Infinity for never. Default: `patienceMs` of the client. */
  patienceMs?: number | undefined;
}

/** An event. Watching can be resumed after it, also by another process, with `resumeToken`. */
export type WatchEvent =
  | { kind: "stored"; image: Image; resumeToken: string }
  /** The facts of a stored image became known. An image whose bytes were stored before has them from the start. */
  | { kind: "described"; image: Image; resumeToken: string }
  | { kind: "deleted"; id: string; resumeToken: string }
  /** Events are missing, because the server no longer has them: list the images again. */
  | { kind: "resync"; resumeToken: string };

const WATCH: Checks<WatchOptions> = {
  ...{ resumeToken: text, user: text, owner: text, signal, onHeartbeat: listener, silenceMs: milliseconds, patienceMs: milliseconds },
};

/** The time of two heartbeats, and a little more. */
const SILENCE_MS = 45_000;

export async function* watch(
  rpc: Rpc,
  options: WatchOptions & { patienceMs: number },
): AsyncGenerator<WatchEvent, void, undefined> {
  check(options, WATCH);
  const { user = "", owner = "", onHeartbeat, silenceMs = SILENCE_MS, patienceMs } = options;
  const scope = new Scope(options.signal, undefined);
  const stay = rpc.untilClosed((reason) => scope.abort(reason));
  const backoff = new Backoff(rpc, patienceMs, scope.signal);
  let resumeToken = options.resumeToken ?? "";
  try {
    for (;;) {
      const request = { resumeToken, user, owner };
      const stream = rpc.serverStream(ImageService.method.watchImages, request, { signal: scope.signal });
      const listen = () => setTimeout(() => stream.abandon(), Math.min(silenceMs, LONGEST_TIMER_MS));
      let silence = listen();
      try {
        for await (const message of stream) {
          clearTimeout(silence);
          backoff.progress();
          resumeToken = message.resumeToken || resumeToken;
          const { case: kind, value } = message.event;
          if (kind === "stored" || kind === "described") yield { kind, image: imageOf(value), resumeToken };
          else if (kind === "deletedId") yield { kind: "deleted", id: value, resumeToken };
          else if (kind === "resync") yield { kind, resumeToken };
          else onHeartbeat?.(resumeToken);
          silence = listen();
        }
        // The server ends this stream only when it shuts down, so it is probably restarting.
        throw makeError({ code: Code.UNAVAILABLE, message: "The server ended the stream." });
      } catch (error) {
        await backoff.pause(error);
      } finally {
        clearTimeout(silence);
      }
    }
  } finally {
    stay();
    scope.close();
  }
}
