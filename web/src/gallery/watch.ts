// Receives the events of images for as long as the page is open, and reconnects after a lost connection.
//
// Without TLS a browser opens only six connections to a server, for all windows together. So one window listens, and
// passes the events on to the others. A lock of the browser decides which one: when that window is closed, another
// takes over from the last event.
import { fromBinary, toBinary } from "@bufbuild/protobuf";

import { WatchImagesResponseSchema } from "#gen/conexiones/v1/images_pb";
import type { Event, WatchImagesResponse } from "#gen/conexiones/v1/images_pb";

import { refused, signedIn } from "../access/session";
import { delayAfter, needsSignIn, pause, problem } from "../calls";
import { images } from "../rpc";

/** The most events in one message. */
const MAX_EVENTS = 100;
/** How soon after some events further ones are told. */
const TELL_MS = 250;

/** How long a connection may be silent before it counts as lost: two heartbeats of the server, and a little more. */
const SILENCE_MS = 45_000;

export type State = "connecting" | "live" | "offline" | "signedOut";

export interface Listener {
  /** Events, oldest first: all that came since the last time, which was some time ago. */
  events: (events: Event["event"][]) => void;
  state: (state: State) => void;
  /** Events may have been missed: list the images again. */
  resync: () => void;
}

export class Watch {
  readonly #listener: Listener;
  readonly #channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("conexiones.watch") : undefined;
  #token = "";
  #state: State = "connecting";
  #leads = false;
  #untold: Event["event"][] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(listener: Listener) {
    this.#listener = listener;
    this.#channel?.addEventListener("message", ({ data }) => {
      if (data instanceof Uint8Array) this.#hear(fromBinary(WatchImagesResponseSchema, data));
      else if (data === "who?") {
        if (this.#leads) this.#tell();
      } else this.#become(data as State);
    });
  }

  async run(): Promise<never> {
    // Without locks (plain HTTP from another machine) every window listens for itself.
    if (!this.#channel || !("locks" in navigator)) return await this.#lead();
    this.#channel.postMessage("who?");
    return await navigator.locks.request("conexiones.watch", () => this.#lead());
  }

  async #lead(): Promise<never> {
    this.#leads = true;
    for (let attempts = 0; ; attempts++) {
      const silence = new AbortController();
      let asked = 0; // milliseconds that the server asks to wait
      let timer: ReturnType<typeof setTimeout> | undefined;
      const alive = () => {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
      };
      alive();
      try {
        for await (const event of images.watchImages({ resumeToken: this.#token, maxEvents: MAX_EVENTS }, { signal: silence.signal })) {
          alive();
          attempts = 0;
          this.#become("live");
          this.#hear(event);
          if (event.event.case !== "heartbeat") this.#channel?.postMessage(toBinary(WatchImagesResponseSchema, event));
        }
      } catch (error) {
        const found = problem(error);
        if (needsSignIn(found)) {
          this.#become("signedOut");
          await signedIn();
          attempts = -1;
          continue;
        }
        asked = found.retryAfter;
        // If the server's data were replaced, it would refuse this token for ever.
        if (attempts > 2) this.#token = "";
      } finally {
        clearTimeout(timer);
      }
      this.#become("offline");
      await pause(Math.max(asked, delayAfter(attempts)), new AbortController().signal);
    }
  }

  #hear({ event, resumeToken }: WatchImagesResponse): void {
    // Without a token, events before this first one may have been missed.
    if (event.case === "resync" || !this.#token) this.#listener.resync();
    this.#token = resumeToken;
    if (event.case === "events") this.#add(event.value.events.map((one) => one.event));
    else if (event.case !== "heartbeat" && event.case !== "resync") this.#add([event]);
  }

  /** Tells events at once if none were told lately, and otherwise together with those that come meanwhile: each time, the
   *  page is laid out and painted anew. */
  #add(events: Event["event"][]): void {
    this.#untold.push(...events);
    if (this.#timer === undefined) this.#pass();
  }

  #pass(): void {
    const events = this.#untold;
    this.#untold = [];
    this.#timer = events.length > 0 ? setTimeout(() => this.#pass(), TELL_MS) : undefined;
    if (events.length > 0) this.#listener.events(events);
  }

  #become(state: State): void {
    if (state === this.#state) return;
    // The session has ended, for all windows.
    if (state === "signedOut" && this.#state === "live") refused();
    this.#state = state;
    this.#listener.state(state);
    if (this.#leads) this.#tell();
  }

  #tell(): void {
    this.#channel?.postMessage(this.#state);
  }
}
