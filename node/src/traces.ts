// Traces of OpenTelemetry, where the program uses it: a span for each operation of a client, to which all its calls
// belong, those that are made again too.
//
// The API (@opentelemetry/api, from 1.0 on) is not imported. A program that has set it up is found by the global symbol
// under which the API registers itself. A program without it pays nothing.
import { AsyncLocalStorage } from "node:async_hooks";

import type { Metadata } from "@grpc/grpc-js";

import { ConexionesError } from "./errors.js";

const API = Symbol.for("opentelemetry.js.api.1");
const SPAN = Symbol.for("OpenTelemetry Context Key SPAN");
const CLIENT = 2;
const ERROR = 2;
const NO_TRACE = /^0*$/;

interface SpanContext {
  traceId: string;
  spanId: string;
  traceFlags: number;
  traceState?: { serialize(): string };
}

interface Span {
  spanContext(): SpanContext;
  setAttribute(name: string, value: string): unknown;
  addEvent(name: string, attributes: Record<string, string>): unknown;
  setStatus(status: { code: number; message: string }): unknown;
  end(): void;
}

interface Context {
  getValue(key: symbol): unknown;
  setValue(key: symbol, value: unknown): Context;
  deleteValue(key: symbol): Context;
}

/** What of the registered API is used here. Each part is there once the program has set it up. */
interface Api {
  trace?: { getTracer(name: string): { startSpan(name: string, options: { kind: number }, context: Context): Span } };
  context?: { active(): Context; with<T>(context: Context, work: () => T): T };
  propagation?: {
    inject(context: Context, carrier: Metadata, setter: { set(carrier: Metadata, key: string, value: string): void }): void;
  };
}

/** A context, where the program has no manager of contexts. */
class Values implements Context {
  readonly #values: ReadonlyMap<symbol, unknown>;

  constructor(values: ReadonlyMap<symbol, unknown> = new Map()) {
    this.#values = values;
  }

  getValue(key: symbol): unknown {
    return this.#values.get(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return new Values(new Map([...this.#values, [key, value]]));
  }

  deleteValue(key: symbol): Context {
    return new Values(new Map([...this.#values].filter(([each]) => each !== key)));
  }
}

const operations = new AsyncLocalStorage<Context>();

function registered(): Api | undefined {
  return (globalThis as { [API]?: Api })[API];
}

/** The context of the operation, else that of the program. */
function active(api: Api): Context {
  return operations.getStore() ?? api.context?.active() ?? new Values();
}

type Method<T> = (this: unknown, ...given: never[]) => T;

/** Decorates a method that is a span of the program's tracer, named conexiones.METHOD. */
export function operation<M extends Method<Promise<unknown>>>(method: M, { name }: ClassMethodDecoratorContext): M {
  const call = async function (this: unknown, ...given: never[]): Promise<unknown> {
    const traced = begin(String(name));
    if (!traced) return await method.apply(this, given);
    try {
      return await traced.within(() => method.apply(this, given));
    } catch (error) {
      traced.failed(error);
      throw error;
    } finally {
      traced.end();
    }
  };
  return call as M;
}

/** The same for what is iterated. The span begins and ends with the iteration. */
export function iteration<M extends Method<AsyncGenerator<unknown, void>>>(method: M, { name }: ClassMethodDecoratorContext): M {
  const call = function (this: unknown, ...given: never[]): AsyncGenerator<unknown, void> {
    const items = method.apply(this, given);
    if (!registered()?.trace) return items;
    const followed = follow(String(name), items);
    const leave = followed.return.bind(followed);
    // Left while the next item is awaited, the items themselves end that at once.
    const leaveAtOnce: typeof leave = async (value) => {
      await items.return(value);
      return await leave(value);
    };
    return Object.assign(followed, { return: leaveAtOnce });
  };
  return call as M;
}

async function* follow(name: string, items: AsyncGenerator<unknown, void>): AsyncGenerator<unknown, void> {
  const traced = begin(name);
  if (!traced) return yield* items;
  try {
    for (;;) {
      const next = await traced.within(() => items.next());
      if (next.done) return;
      yield next.value;
    }
  } catch (error) {
    traced.failed(error);
    throw error;
  } finally {
    await traced.within(() => items.return(undefined)).finally(() => traced.end());
  }
}

/** Adds the headers by which a call takes its place in the trace. */
export function inject(metadata: Metadata): void {
  const api = registered();
  if (!api) return;
  const context = active(api);
  if (api.propagation) {
    api.propagation.inject(context, metadata, { set: (carrier, key, value) => carrier.set(key.toLowerCase(), value) });
    return;
  }
  const { traceId = "", spanId = "", traceFlags = 0, traceState } = spanIn(context)?.spanContext() ?? {};
  if (NO_TRACE.test(traceId)) return;
  metadata.set("traceparent", `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`);
  if (traceState) metadata.set("tracestate", traceState.serialize());
}

/** Notes that something of the operation failed and is tried again. */
export function again(error: unknown): void {
  const context = operations.getStore();
  if (context) spanIn(context)?.addEvent("retry", { "error.type": kindOf(error) });
}

interface Traced {
  within<T>(work: () => T): T;
  failed(error: unknown): void;
  end(): void;
}

function begin(name: string): Traced | undefined {
  const api = registered();
  if (!api?.trace) return undefined;
  const before = active(api);
  const span = api.trace.getTracer("conexiones").startSpan(`conexiones.${name}`, { kind: CLIENT }, before);
  const context = before.setValue(SPAN, span);
  return {
    within: (work) => operations.run(context, () => (api.context ? api.context.with(context, work) : work())),
    failed: (error) => {
      // Nothing of an error's text, which may have what users have written.
      const kind = kindOf(error);
      span.setAttribute("error.type", kind);
      if (error instanceof ConexionesError && error.requestId) span.setAttribute("conexiones.request_id", error.requestId);
      span.setStatus({ code: ERROR, message: kind });
    },
    end: () => span.end(),
  };
}

function spanIn(context: Context): Span | undefined {
  return context.getValue(SPAN) as Span | undefined;
}

function kindOf(error: unknown): string {
  if (error instanceof ConexionesError && error.reason) return error.reason;
  return error instanceof Error ? error.name : typeof error;
}
