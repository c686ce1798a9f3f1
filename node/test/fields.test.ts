import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Client, Code, ConexionesError, UnavailableError } from "conexiones";
import { Backoff } from "../src/backoff.js";
import type { Check } from "../src/fields.js";
import * as fields from "../src/fields.js";

import { address, client, photograph } from "./support.js";

// Nobody listens there: what is refused by this client is refused before anything is sent.
const nobody = client({ address: "127.0.0.1:1", patienceMs: 300, timeoutMs: 300 });
const NUMBERS: unknown[] = [NaN, 1.5, 2 ** 64, 3n, "3", null, {}];
const NOT_POSITIVE: unknown[] = [0, -1, NaN, "30", 30n, null];
const NO_TEXT: unknown[] = [7, null, true, ["Ada"], Buffer.from("Ada")];

async function first(items: AsyncIterable<unknown>): Promise<void> {
  for await (const item of items) if (item) return;
}

/** Every option of every call: its field, the values that make no sense, and a call with such a value. */
const refusals: [string, unknown[], (value: never) => Promise<unknown>][] = [
  ["name", NO_TEXT.concat(undefined), (name) => nobody.getUser({ name })],
  ["pow", [...NUMBERS, 2 ** 31, -(2 ** 31) - 1], (pow) => nobody.getUser({ name: "Ada", pow })],
  ["image", ["text", [1, 2], new ArrayBuffer(3), 7], (image) => nobody.getUser({ name: "Ada", image })],
  ["user", [undefined, null, "Ada"], (user) => nobody.getUser(user)],
  ["pow", [2 ** 31, 1.5, 3n], (pow) => first(nobody.userStream([{ name: "Ada", pow }]))],
  ["image", ["text", null], (image) => first(nobody.imageStream([image]))],
  ["items", [undefined, 7, {}], (items) => first(nobody.imageStream(items))],
  ["bytes", [undefined, "text", null], (bytes) => nobody.processImage(bytes)],
  ["user", NO_TEXT, (user) => nobody.processImage(photograph, { user })],
  ["chunkSize", [...NUMBERS, 0, -1], (chunkSize) => nobody.streamImage(photograph, { chunkSize })],
  ["chunkSize", [...NUMBERS, 0, -1], (chunkSize) => nobody.upload(photograph, { chunkSize })],
  ["user", NO_TEXT, (user) => nobody.upload(photograph, { user })],
  ["name", NO_TEXT, (name) => nobody.upload(photograph, { name })],
  ["resume", [1, null, {}, ""], (resume) => nobody.upload(photograph, { resume })],
  ["sha256", ["abc", Buffer.alloc(31), 7, null], (sha256) => nobody.upload(photograph, { sha256 })],
  ["onProgress", [7, null, {}], (onProgress) => nobody.upload(photograph, { onProgress })],
  ["signal", [7, null, {}], (signal) => nobody.upload(photograph, { signal })],
  ["deadlineMs", NOT_POSITIVE, (deadlineMs) => nobody.upload(photograph, { deadlineMs })],
  ["patienceMs", NOT_POSITIVE, (patienceMs) => nobody.upload(photograph, { patienceMs })],
  ["options", [null, "Ada", 7], (options) => nobody.upload(photograph, options)],
  ["id", [undefined, null, 7], (id) => nobody.download(id)],
  ["offset", NUMBERS, (offset) => nobody.download("id", { offset })],
  ["limit", [...NUMBERS, -1], (limit) => nobody.download("id", { limit })],
  ["resume", ["folder", 1, null], (resume) => nobody.download("id", "file", { resume })],
  ["patienceMs", NOT_POSITIVE, (patienceMs) => nobody.download("id", { patienceMs })],
  ["rendition", [null, 320, "small"], (rendition) => nobody.download("id", { rendition })],
  ["rendition.width", [...NUMBERS, 2 ** 31], (width) => nobody.download("id", { rendition: { width } })],
  ["rendition.fit", ["stretch", 1, null, "toString"], (fit) => nobody.download("id", { rendition: { fit } })],
  ["rendition.animated", [1, null, "yes"], (animated) => nobody.download("id", { rendition: { animated } })],
  ["options", [null, 7], (options) => nobody.download("id", "file", options)],
  ["options", [null, 7], (options) => nobody.processImage(photograph, options)],
  ["options", [null, 7], (options) => nobody.streamImage(photograph, options)],
  ["options", [null, 7], (options) => first(nobody.watch(options))],
  ["pageSize", [...NUMBERS, 2 ** 31, -1], (pageSize) => first(nobody.images({ pageSize }))],
  ["start", [new Date(NaN), 0, "today", null], (start) => first(nobody.images({ start }))],
  ["sha256", ["abc", [7], ["abc"], Array(1_001).fill("0".repeat(64))], (sha256) => first(nobody.images({ sha256 }))],
  ["resumeToken", NO_TEXT, (resumeToken) => first(nobody.watch({ resumeToken }))],
  ["silenceMs", NOT_POSITIVE, (silenceMs) => first(nobody.watch({ silenceMs }))],
  ["timeoutMs", NOT_POSITIVE, (timeoutMs) => nobody.limits({ timeoutMs })],
  ["timeoutMs", NOT_POSITIVE, (timeoutMs) => nobody.getUser({ name: "Ada", image: photograph }, { timeoutMs })],
  ["id", [undefined, null, 7], (id) => nobody.image(id)],
  ["id", [undefined, null, 7], (id) => nobody.delete(id)],
  ["id", [undefined, null, 7], (id) => nobody.getUpload(id)],
  ["timeoutMs", NOT_POSITIVE, async (timeoutMs) => new Client({ address: "localhost:1", timeoutMs })],
  ["tls", ["yes", 1, null], async (tls) => new Client({ address: "localhost:1", tls })],
  ["ca", [7, null, {}], async (ca) => new Client({ address: "localhost:1", ca })],
];

function shown(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  return typeof value === "number" || Array.isArray(value) ? String(value).slice(0, 20) : JSON.stringify(value);
}

describe("a value that makes no sense is refused with the name of its field", () => {
  for (const [field, values, call] of refusals) {
    it(`${field}: ${values.map(shown).join(", ")}`, async () => {
      for (const value of values) {
        await assert.rejects(call(value as never), (error) => {
          assert.ok(error instanceof ConexionesError, `${shown(value)}: ${String(error)}`);
          assert.deepEqual([error.code, error.reason], [Code.INVALID_ARGUMENT, "INVALID_FIELD"]);
          assert.ok([field, "items"].includes(error.field), error.field);
          assert.ok(error.message.startsWith(`\`${error.field}\` takes `), error.message);
          assert.ok(error.mensaje.startsWith(`\`${error.field}\` admite `), error.mensaje);
          return true;
        });
      }
    });
  }

  it("and the largest values are none of these", () => {
    const fits = (check: Check, ...values: unknown[]) => values.forEach((value) => check("field", value));
    fits(fields.int32, -(2 ** 31), 0, 2 ** 31 - 1);
    fits(fields.whole(0), 0, Number.MAX_SAFE_INTEGER);
    fits(fields.milliseconds, 0.5, 2 ** 40, Infinity);
  });
});

describe("a time", () => {
  it("beyond all dates is no limit", async () => {
    assert.ok((await client().limits({ timeoutMs: Number.MAX_SAFE_INTEGER })).maxImageBytes > 0);
  });

  it("is of a clock that nobody sets", async () => {
    const server = { address, reached: true, renewed: () => false };
    const lost = new UnavailableError({ code: Code.UNAVAILABLE, message: "lost" });
    const { now } = Date;
    try {
      for (const hours of [1, -1]) {
        const backoff = new Backoff(server, 200, new AbortController().signal);
        Date.now = now;
        await backoff.pause(lost); // at most 100 ms
        Date.now = () => now() + hours * 3_600_000;
        await backoff.pause(lost);
        await assert.rejects(async () => {
          for (;;) await backoff.pause(lost);
        }, /^UnavailableError: Gave up after \d+ ms without progress/);
      }
    } finally {
      Date.now = now;
    }
  });
});

describe("a certificate", () => {
  it("may be in any Uint8Array", () => {
    const pem = new TextEncoder().encode("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n");
    new Client({ address: "localhost:1", ca: pem }).close();
  });
});

describe("an address", () => {
  const refused: Record<string, string> = {
    "http://localhost:50051": "localhost:50051: http://localhost:50051 is a URL.",
    "HTTP://images.example/": "images.example:50051: HTTP://images.example/ is a URL.",
    "https://ana@host:1/?x": "host:1: https://ana@host:1/?x is a URL; for TLS, set tls: true.",
    "grpc://": "localhost:50051: grpc:// is a URL.",
    localhost: "localhost:50051: localhost has no port.",
    "127.0.0.1": "127.0.0.1:50051: 127.0.0.1 has no port.",
    "host:": "host:50051: host: has no port.",
    "[::1]": "[::1]:50051: [::1] has no port.",
    "::1": "[::1]:50051: an IPv6 address needs brackets.",
    "a:b:c": "[::1]:50051: an IPv6 address needs brackets.",
    "[host]:1": "[::1]:50051: an IPv6 address needs brackets.",
    ":50051": "localhost:50051: :50051 has no host.",
    "50051": "localhost:50051: 50051 has no host.",
    "host:80000": "host:50051: ports are 1 to 65535, not 80000.",
    "host:0": "host:50051: ports are 1 to 65535, not 0.",
    "host:http": "localhost:50051: host:http has another form.",
    "host:50051/images": "localhost:50051: host:50051/images has another form.",
    "a:1,b": "b:50051: b has no port.",
    "a:1,": "localhost:50051: it is empty.",
    "ho st:1": "localhost:50051: ho st:1 has another form.",
    "": "localhost:50051: it is empty.",
  };
  for (const [address, sentence] of Object.entries(refused)) {
    it(`${address} is refused at once, with what to write`, () => {
      for (const make of [() => new Client({ address }), () => new Client(address)]) {
        assert.throws(make, (error) => {
          assert.ok(error instanceof ConexionesError);
          assert.deepEqual([error.reason, error.field], ["INVALID_FIELD", "address"]);
          assert.equal(error.message, `\`address\` takes HOST:PORT, such as ${sentence}`);
          assert.match(error.mensaje, /^`address` admite HOST:PUERTO, como /);
          return true;
        });
      }
    });
  }

  it("from the environment, or none at all", () => {
    const fault = { reason: "INVALID_FIELD", field: "address" };
    assert.throws(() => Client.fromEnviron({}, { CONEXIONES_ADDRESS: "http://localhost:50051" }), fault);
    for (const given of [{}, undefined, { address: undefined }]) new Client(given).close(); // localhost:50051
    for (const given of [null, 7, { address: "" }]) assert.throws(() => new Client(given as never), { reason: "INVALID_FIELD" });
  });

  it("of any other form that gRPC takes", () => {
    const taken = ["localhost:50051", "images.example:443", "[::1]:50051", "[fe80::1]:1", "127.0.0.1:65535", "dns:50051"];
    for (const address of [...taken, "dns:///images.example:443", "unix:/run/conexiones.sock", "ipv4:127.0.0.1:1"]) {
      new Client(address).close();
    }
  });
});
