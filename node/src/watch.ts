// The events of images, over as many connections as it takes.
import { ImageService } from "./gen/conexiones/v1/images_pb.js";
import type { Event as EventMessage, WatchImagesResponse } from "./gen/conexiones/v1/images_pb.js";
import { Code, makeError } from "./errors.js";
import { check, listener, milliseconds, signal, text } from "./fields.js";
import type { Checks } from "./fields.js";
import { image as imageOf } from "./images.js";
import type { Image } from "./images.js";
import { Backoff } from "./backoff.js";
import type { Times } from "./backoff.js";
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

/**
 * Events that a response may carry: as many as the server puts into one at most. A message for each event would cost the
 * server and the client several times the processor time.
 */
const MOST_EVENTS = 100;
/** The time of two heartbeats, and a little more. */
const SILENCE_MS = 45_000;

export async function* watch(
  rpc: Rpc,
  options: WatchOptions,
  times: Times,
  left: AbortSignal,
): AsyncGenerator<WatchEvent, void, undefined> {
  check(options, WATCH);
  const { user = "", owner = "", onHeartbeat, silenceMs = SILENCE_MS, patienceMs = times.patienceMs } = options;
  const scope = new Scope(options.signal, undefined);
  scope.endWith(left);
  const stay = rpc.untilClosed((reason) => scope.abort(reason));
  const backoff = new Backoff(rpc, patienceMs, scope.signal);
  let resumeToken = options.resumeToken ?? "";
  try {
    for (;;) {
      const request = { resumeToken, user, owner, maxEvents: MOST_EVENTS };
      const stream = rpc.serverStream(ImageService.method.watchImages, request, { signal: scope.signal });
      const listen = () => setTimeout(() => stream.abandon(), Math.min(silenceMs, LONGEST_TIMER_MS));
      let silence = listen();
      try {
        for await (const message of stream) {
          clearTimeout(silence);
          backoff.progress();
          const { event } = message;
          if (event.case === "events") {
            // Of a server that gives each event no token of its own, the first ones of several have that before them all,
            // so that whoever goes on after one hears of some again, and misses none.
            for (const one of event.value.events) {
              resumeToken = one.resumeToken || resumeToken;
              const change = changeOf(one.event);
              if (change) yield { ...change, resumeToken };
              scope.signal.throwIfAborted(); // the events that came with it are not told any more
            }
          }
          resumeToken = message.resumeToken || resumeToken;
          const change = changeOf(event);
          if (change) yield { ...change, resumeToken };
          else if (event.case === "resync") yield { kind: event.case, resumeToken };
          else if (event.case === "heartbeat") onHeartbeat?.(resumeToken);
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

type Change = { kind: "stored" | "described"; image: Image } | { kind: "deleted"; id: string };

/** What happened to an image; undefined for what is no such event, or one of a kind that this client does not know. */
function changeOf(event: WatchImagesResponse["event"] | EventMessage["event"]): Change | undefined {
  switch (event.case) {
    case "stored":
    case "described":
      return { kind: event.case, image: imageOf(event.value) };
    case "deletedId":
      return { kind: "deleted", id: event.value };
    default:
      return undefined;
  }
}
