const { randomBytes } = require("node:crypto");

function forMyOwnCalls(traceparent) {
  const [version, trace, , flags] = traceparent.split("-");
  return [version, trace, randomBytes(8).toString("hex"), flags].join("-");
}

const came = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const sent = [forMyOwnCalls(came), forMyOwnCalls(came)];

const whole = sent.every((one) => /^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01$/.test(one));
const spans = new Set([came, ...sent]).size;
console.log("in the trace:", whole ? "yes" : "no");
console.log("spans:", spans);
if (!whole || spans !== 3) {
  console.error("Not yet · Todavía no");
  process.exitCode = 1;
}
