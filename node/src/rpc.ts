// Calls over grpc-js, described by the descriptors of the generated code: nothing is generated for services.
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

import { ConexionesError, errorOfCall, isLost } from "./errors.js";

export interface CallOptions {
  /** Cancels the call at once; what is thrown then is `signal.reason`. */
  signal?: AbortSignal | undefined;
  /** Milliseconds until DEADLINE_EXCEEDED; without it the call may take for ever. */
  timeoutMs?: number | undefined;
}

type Method = { parent: { typeName: string }; name: string };
type Schema<M> = M extends DescMessage ? M : never;

/** One channel, replaced when it is dead, and the four shapes of a call. Safe to use for many calls at once. */
export class Rpc {
  readonly address: string;
  /** Whether the server has ever answered. */
  reached = false;
  readonly #open: () => grpc.Client;
  #client: grpc.Client;

  constructor(address: string, credentials: grpc.ChannelCredentials, options: grpc.ChannelOptions) {
    this.address = address;
    // A client is a connection of its own, so that replacing it replaces the connection.
    this.#open = () => new grpc.Client(address, credentials, { ...options, "grpc.use_local_subchannel_pool": 1 });
    this.#client = this.#open();
  }

  close(): void {
    this.#client.close();
  }

  /**
   * New calls get a new connection; the calls that still run on the old one come to their end there. That of
   * grpc-js may be dead, or for ever in its handshake, and say so to nobody for long.
   */
  #renew(client: grpc.Client): void {
    if (this.#client !== client) return;
    this.#client = this.#open();
    client.close();
  }

  #watched(client: grpc.Client, signal: AbortSignal | undefined): Watcher {
    return {
      answered: () => (this.reached = true),
      failed: (error) => {
        if (signal?.aborted || !(error instanceof ConexionesError)) return;
        if (isLost(error)) this.#renew(client);
        else this.reached = true;
      },
      abandoned: () => this.#renew(client),
    };
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    options.signal?.throwIfAborted();
    const client = this.#client;
    const watcher = this.#watched(client, options.signal);
    const reply = new Promise<MessageShape<O>>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        pathOf(method),
        encoder(method.input as Schema<I>),
        decoder(method.output as Schema<O>),
        create(method.input as Schema<I>, request as never) as MessageShape<I>,
        new grpc.Metadata(),
        withDeadline(options),
        settle(resolve, reject, options.signal),
      );
      cancelWith(call, options.signal);
    });
    try {
      const message = await reply;
      watcher.answered();
      return message;
    } catch (error) {
      watcher.failed(error);
      throw error;
    }
  }

  /** `write` puts fragments into the call; the reply may come before it is done. */
  async clientStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodClientStreaming<I, O>,
    write: (call: grpc.ClientWritableStream<MessageShape<I>>) => Promise<void>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    options.signal?.throwIfAborted();
    const client = this.#client;
    const watcher = this.#watched(client, options.signal);
    let call: grpc.ClientWritableStream<MessageShape<I>> | undefined;
    const reply = new Promise<MessageShape<O>>((resolve, reject) => {
      call = client.makeClientStreamRequest(
        pathOf(method),
        encoder(method.input as Schema<I>),
        decoder(method.output as Schema<O>),
        new grpc.Metadata(),
        withDeadline(options),
        settle(resolve, reject, options.signal),
      );
      cancelWith(call, options.signal);
    });
    reply.then(
      () => watcher.answered(),
      (error: unknown) => watcher.failed(error),
    );
    const open = call as grpc.ClientWritableStream<MessageShape<I>>;
    const writing = write(open).catch((error: unknown) => {
      open.cancel();
      throw error;
    });
    // A reply that came says more than the writer that it interrupted; but a source that fails, not the call
    // that is cancelled for it, is what went wrong.
    return await Promise.race([reply, writing.then(() => reply)]);
  }

  serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): ServerStream<MessageShape<O>> {
    options.signal?.throwIfAborted();
    const client = this.#client;
    const call = client.makeServerStreamRequest(
      pathOf(method),
      encoder(method.input as Schema<I>),
      decoder(method.output as Schema<O>),
      create(method.input as Schema<I>, request as never) as MessageShape<I>,
      new grpc.Metadata(),
      withDeadline(options),
    );
    return new ServerStream(call, options.signal, this.#watched(client, options.signal));
  }

  bidi<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    options: CallOptions = {},
  ): BidiStream<MessageShape<I>, MessageShape<O>> {
    options.signal?.throwIfAborted();
    const client = this.#client;
    const call = client.makeBidiStreamRequest<MessageShape<I>, MessageShape<O>>(
      pathOf(method),
      encoder(method.input as Schema<I>),
      decoder(method.output as Schema<O>),
      new grpc.Metadata(),
      withDeadline(options),
    );
    return new BidiStream(call, options.signal, this.#watched(client, options.signal));
  }
}

/** Told how the calls on a connection fare. */
interface Watcher {
  answered(): void;
  failed(error: unknown): void;
  abandoned(): void;
}

/** The messages of a call, once. Leaving the loop cancels the call. */
export class ServerStream<O> {
  readonly #call: grpc.ClientReadableStream<O>;
  readonly #signal: AbortSignal | undefined;
  readonly #watcher: Watcher;

  constructor(call: grpc.ClientReadableStream<O>, signal: AbortSignal | undefined, watcher: Watcher) {
    this.#call = call;
    this.#signal = signal;
    this.#watcher = watcher;
    // Whoever is not iterating yet, or no longer, is told by the iterator or does not care.
    call.on("error", () => undefined);
    cancelWith(call, signal);
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** Cancels a call that was silent for too long: its connection may be dead, so it serves no other call. */
  abandon(): void {
    this.#watcher.abandoned();
    this.#call.cancel();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<O, void, undefined> {
    try {
      for await (const message of this.#call) {
        this.#watcher.answered();
        yield message as O;
      }
    } catch (error) {
      this.#signal?.throwIfAborted();
      const known = errorOfCall(error);
      this.#watcher.failed(known);
      throw known;
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

  /** Resolves when there is room for another message; false when the call is over. */
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

/** Writes, and waits for `drain` where write() says so; false when the call is over. */
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
  return timeoutMs === undefined || timeoutMs === Infinity ? {} : { deadline: Date.now() + timeoutMs };
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
