// Calls over grpc-js, made from the descriptors in the generated code; no code is generated for services.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { several } from "./address.js";
import { Code, ConexionesError, errorOfCall, isLost, UnreachableError } from "./errors.js";
import { milliseconds, signal } from "./fields.js";
import type { Checks } from "./fields.js";
import { whyUnreachable } from "./reasons.js";
import type { Security } from "./reasons.js";
import { LONGEST_TIMER_MS, unlessAborted } from "./scope.js";
import type { Shown } from "./shown.js";
import { inject } from "./traces.js";

export interface CallOptions {
  /** Cancels the call at once, which then throws `signal.reason`. */
  signal?: AbortSignal | undefined;
  /** Milliseconds until DEADLINE_EXCEEDED. Without it, the call has no deadline. */
  timeoutMs?: number | undefined;
}

export const CALL: Checks<CallOptions> = { signal, timeoutMs: milliseconds };

type Method = { parent: { typeName: string }; name: string };
type Schema<M> = M extends DescMessage ? M : never;

/** One channel, replaced when it is dead, and the four kinds of calls. Safe to use for many calls at once. */
export class Rpc {
  /** What the client was given: the address of one server, or of several that share their data. */
  readonly address: string;
  readonly security: Security;
  /** Whether the server has ever answered. */
  reached = false;
  readonly #shown: Shown;
  readonly #open: () => grpc.Client;
  readonly #addresses: readonly string[];
  /** Which of the addresses is in use. Clients begin with any of them, so that they spread over the servers. */
  #at: number;
  #client: grpc.Client;
  #closed = false;
  /** Calls under way. A channel that is closed would end those that wait for its connection. */
  #calls = 0;
  /** What ends the calls that would go on forever. */
  readonly #endless = new Set<(reason: Error) => void>();

  constructor(
    address: string,
    credentials: grpc.ChannelCredentials,
    security: Security,
    shown: Shown,
    options: grpc.ChannelOptions,
  ) {
    this.address = address;
    this.security = security;
    this.#shown = shown;
    // Clients of one process would otherwise share connections, and a new client could get the dead one.
    const own = { ...options, "grpc.use_local_subchannel_pool": 1 };
    this.#addresses = several(address);
    this.#at = Math.floor(Math.random() * this.#addresses.length);
    this.#open = () => new grpc.Client(this.place, credentials, own);
    this.#client = this.#open();
  }

  /** The address of the server that is in use. */
  get place(): string {
    return this.#addresses[this.#at] ?? "";
  }

  /** Ends what would go on forever, and the connection when the calls in flight have ended. New calls throw. */
  close(): void {
    this.#closed = true;
    for (const end of this.#endless) end(new ClientClosed());
    this.#endless.clear();
    if (this.#calls === 0) this.#client.close();
  }

  /** Has `end` called when the client is closed, unless the function that it returns was called before. */
  untilClosed(end: (reason: Error) => void): () => void {
    this.#endless.add(end);
    return () => this.#endless.delete(end);
  }

  /** Counts a call until it has ended. */
  #counted<C extends { on(event: "status", listener: () => void): unknown }>(call: C): C {
    this.#calls += 1;
    call.on("status", () => {
      this.#calls -= 1;
      if (this.#calls === 0 && this.#closed) this.#client.close();
    });
    return call;
  }

  /** Whether a call that failed for its token may be made again, because there is another token by now. */
  renewed(error: unknown): boolean {
    return this.#shown.renewed(error);
  }

  /** The channel for a call that is about to begin. Throws the signal's reason. */
  #begin({ signal, timeoutMs }: CallOptions): { client: grpc.Client; metadata: grpc.Metadata; watcher: Watcher } {
    signal?.throwIfAborted();
    if (this.#closed) throw new ClientClosed();
    const client = this.#client;
    const metadata = this.#shown.metadata();
    inject(metadata);
    return { client, metadata, watcher: this.#watched(client, signal, timeoutMs) };
  }

  /**
   * Gives new calls a new connection, to the next server if there are several; calls in flight on the old one may finish
   * there. A connection of grpc-js may be dead, or hang in its handshake, without an error for a long time.
   */
  #renew(client: grpc.Client): void {
    if (this.#client !== client || this.#closed) return;
    this.#at = (this.#at + 1) % this.#addresses.length;
    this.#client = this.#open();
    client.close();
  }

  #watched(client: grpc.Client, signal: AbortSignal | undefined, timeoutMs: number | undefined): Watcher {
    const sent = this.#shown.secret;
    const { place } = this; // another call may go on at the next one before this one ends
    return {
      answered: () => (this.reached = true),
      failed: async (error) => {
        if (signal?.aborted || !(error instanceof ConexionesError)) return error;
        if (!isLost(error)) {
          this.reached = true;
          await this.#shown.failed(error, sent);
          if (error.reason === "SERVER_DRAINING" && this.#addresses.length > 1) this.#renew(client);
          return error;
        }
        this.#renew(client);
        return await this.#explained(error, place, signal, timeoutMs);
      },
      abandoned: () => this.#renew(client),
    };
  }

  /** The error of a lost call, which says more if the server has never answered. Throws the signal's reason. */
  async #explained(
    error: ConexionesError,
    place: string,
    signal: AbortSignal | undefined,
    timeoutMs?: number,
  ): Promise<ConexionesError> {
    if (this.reached || error.code !== Code.UNAVAILABLE) return error;
    const finding = whyUnreachable(error.message, place, this.security, timeoutMs);
    return new UnreachableError(place, await (signal ? unlessAborted(finding, signal) : finding), error);
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const { client, metadata, watcher } = this.#begin(options);
    const reply = new Promise<MessageShape<O>>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        pathOf(method),
        encoder(method.input as Schema<I>),
        decoder(method.output as Schema<O>),
        create(method.input as Schema<I>, request as never) as MessageShape<I>,
        metadata,
        withDeadline(options),
        settle(resolve, reject, options.signal),
      );
      cancelWith(this.#counted(call), options.signal);
    });
    try {
      const message = await reply;
      watcher.answered();
      return message;
    } catch (error) {
      throw await watcher.failed(error);
    }
  }

  /** `write` writes the messages of the call. The reply may come before it has finished. */
  async clientStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodClientStreaming<I, O>,
    write: (call: grpc.ClientWritableStream<MessageShape<I>>) => Promise<void>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const { client, metadata, watcher } = this.#begin(options);
    let call: grpc.ClientWritableStream<MessageShape<I>> | undefined;
    const reply = new Promise<MessageShape<O>>((resolve, reject) => {
      call = client.makeClientStreamRequest(
        pathOf(method),
        encoder(method.input as Schema<I>),
        decoder(method.output as Schema<O>),
        metadata,
        withDeadline(options),
        settle(resolve, reject, options.signal),
      );
      cancelWith(this.#counted(call), options.signal);
    });
    const answer = reply.then(
      (message) => {
        watcher.answered();
        return message;
      },
      async (error: unknown) => {
        throw await watcher.failed(error);
      },
    );
    const open = call as grpc.ClientWritableStream<MessageShape<I>>;
    const writing = write(open).catch((error: unknown) => {
      open.cancel();
      throw error;
    });
    // A reply counts even if it interrupted the writer. If the source failed, its error counts, and not that of the
    // call that was cancelled for it.
    return await Promise.race([answer, writing.then(() => answer)]);
  }

  serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): ServerStream<MessageShape<O>> {
    const { client, metadata, watcher } = this.#begin(options);
    const call = client.makeServerStreamRequest(
      pathOf(method),
      encoder(method.input as Schema<I>),
      decoder(method.output as Schema<O>),
      create(method.input as Schema<I>, request as never) as MessageShape<I>,
      metadata,
      withDeadline(options),
    );
    return new ServerStream(this.#counted(call), options.signal, watcher);
  }

  bidi<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    options: CallOptions = {},
  ): BidiStream<MessageShape<I>, MessageShape<O>> {
    const { client, metadata, watcher } = this.#begin(options);
    const call = client.makeBidiStreamRequest<MessageShape<I>, MessageShape<O>>(
      pathOf(method),
      encoder(method.input as Schema<I>),
      decoder(method.output as Schema<O>),
      metadata,
      withDeadline(options),
    );
    return new BidiStream(this.#counted(call), options.signal, watcher);
  }
}

export class ClientClosed extends Error {
  constructor() {
    super("The client is closed.");
  }
}

/** Learns from calls whether their connection works. */
interface Watcher {
  answered(): void;
  /** Resolves with the error to be thrown. */
  failed(error: unknown): Promise<unknown>;
  abandoned(): void;
}

/** The messages of a call, to be iterated once. Leaving the loop cancels the call. */
export class ServerStream<O> {
  readonly #call: grpc.ClientReadableStream<O>;
  readonly #signal: AbortSignal | undefined;
  readonly #watcher: Watcher;

  constructor(call: grpc.ClientReadableStream<O>, signal: AbortSignal | undefined, watcher: Watcher) {
    this.#call = call;
    this.#signal = signal;
    this.#watcher = watcher;
    // Without a listener, an error outside of the iteration would end the process. The iterator throws it itself.
    call.on("error", () => undefined);
    cancelWith(call, signal);
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** Cancels a call that was silent for too long, and uses its connection for no further call: it may be dead. */
  abandon(): void {
    this.#watcher.abandoned();
    this.#call.cancel();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<O, void, undefined> {
    try {
      for await (const message of this.#call) {
        this.#watcher.answered();
        yield message as O;
        this.#signal?.throwIfAborted(); // the messages that have come since are not told any more
      }
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw await this.#watcher.failed(errorOfCall(error));
    } finally {
      this.#call.cancel();
    }
  }
}

export class BidiStream<I, O> extends ServerStream<O> {
  readonly #writable: Writer<I>;

  constructor(call: grpc.ClientDuplexStream<I, O>, signal: AbortSignal | undefined, watcher: Watcher) {
    super(call, signal, watcher);
    this.#writable = call;
  }

  /** Resolves when there is room for another message, with false when the call is over. */
  async write(message: I): Promise<boolean> {
    return await written(this.#writable, message);
  }

  /** Half-closes the call. */
  end(): void {
    this.#writable.end();
  }
}

type Writer<I> = Pick<
  grpc.ClientWritableStream<I>,
  "write" | "end" | "on" | "once" | "off" | "destroyed" | "writableEnded"
>;

/** Writes a message, and waits for `drain` if write() asks for it. Resolves with false when the call is over. */
export async function written<I>(call: Writer<I>, message: I): Promise<boolean> {
  if (call.destroyed || call.writableEnded) return false;
  if (call.write(message)) return true;
  const over = ["close", "error", "end", "status"] as const;
  return await new Promise((resolve) => {
    const done = (open: boolean) => {
      call.off("drain", drained);
      for (const event of over) call.off(event, ended);
      resolve(open);
    };
    const drained = () => done(true);
    const ended = () => done(false);
    call.once("drain", drained);
    for (const event of over) call.once(event, ended);
  });
}

function pathOf(method: Method): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encoder<M extends DescMessage>(schema: M) {
  return (message: MessageShape<M>): Buffer => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function decoder<M extends DescMessage>(schema: M) {
  return (bytes: Buffer): MessageShape<M> => fromBinary(schema, bytes);
}

function withDeadline({ timeoutMs }: CallOptions): grpc.CallOptions {
  // One that is too far away to be a date would end the process.
  return timeoutMs === undefined || timeoutMs > LONGEST_TIMER_MS ? {} : { deadline: Date.now() + timeoutMs };
}

function settle<T>(resolve: (value: T) => void, reject: (error: Error) => void, signal?: AbortSignal) {
  return (error: grpc.ServiceError | null, value?: T) => {
    if (!error) resolve(value as T);
    else reject(signal?.aborted ? (signal.reason as Error) : errorOfCall(error));
  };
}

function cancelWith(call: { cancel(): void; on(event: "status", f: () => void): unknown }, signal?: AbortSignal) {
  if (!signal) return;
  const cancel = () => call.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  call.on("status", () => signal.removeEventListener("abort", cancel));
}
