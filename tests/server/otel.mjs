// What @opentelemetry/api registers, in small, for a program that is loaded after it: spans that are printed as lines of
// JSON, a manager of contexts and no propagator.
import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";

const SPAN = Symbol.for("OpenTelemetry Context Key SPAN");
const storage = new AsyncLocalStorage();

class Context {
  constructor(values = new Map()) {
    this.values = values;
  }

  getValue(key) {
    return this.values.get(key);
  }

  setValue(key, value) {
    return new Context(new Map([...this.values, [key, value]]));
  }
}

function startSpan(name, { kind }, context) {
  const parent = context.getValue(SPAN)?.spanContext();
  const told = { traceId: parent?.traceId ?? randomBytes(16).toString("hex"), spanId: randomBytes(8).toString("hex") };
  const attributes = {};
  const events = [];
  return {
    spanContext: () => ({ ...told, traceFlags: 1 }),
    setAttribute: (key, value) => (attributes[key] = value),
    addEvent: (event) => events.push(event),
    setStatus: ({ code }) => (attributes.status = code),
    end: () => console.log(JSON.stringify({ span: name, kind, parent: parent?.spanId, ...told, attributes, events })),
  };
}

globalThis[Symbol.for("opentelemetry.js.api.1")] = {
  version: "1.9.0",
  trace: { getTracer: () => ({ startSpan }) },
  context: { active: () => storage.getStore() ?? new Context(), with: (context, work) => storage.run(context, work) },
};
