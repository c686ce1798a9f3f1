// A trace for each thing that the user does: all calls that follow from it say so in `traceparent`
// (https://www.w3.org/TR/trace-context), so that the server's traces show them together.

/** What begins a trace. What was begun before may still make calls, which then belong to the newer one. */
const ACTIONS = ["click", "keydown", "input", "change", "drop", "paste", "submit", "popstate"];

let trace = hex(16);

/** Has each action of the user begin a trace. Only for the page: workers are told theirs. */
export function followActions(): void {
  for (const action of ACTIONS) addEventListener(action, () => (trace = hex(16)), { capture: true, passive: true });
}

/** The id of the trace of what the user did last. */
export function currentTrace(): string {
  return trace;
}

/** The header of a call. The browser has no spans of its own, so that each call has another one as its parent. */
export function traceparent(of = trace): string {
  return `00-${of}-${hex(8)}-01`;
}

function hex(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
