// What a call looks like on the wire, as far as a browser shows it: headers, messages with their fields and bytes, times.
import { ScalarType } from "@bufbuild/protobuf";
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

const PREFIX_BYTES = 5;
const COMPRESSED = 0x01;
const TRAILERS = 0x80;
/** Bytes of a field that are shown. */
const SHOWN_BYTES = 12;
const SHOWN_TEXT = 300;
/** Bytes of a body that are kept. */
const KEPT_BYTES = 4 << 20;

interface Piece {
  at: number;
  data: Uint8Array;
}

interface Seen {
  url: string;
  sent: Headers;
  request: Uint8Array;
  answeredAt: number;
  status: number;
  headers: Headers | undefined;
  pieces: Piece[];
  kept: number;
}

/** Records one call, which is made with its `fetch`. */
export class Wire {
  #seen: Seen | undefined;

  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const start = performance.now();
    const request = init?.body instanceof Uint8Array ? init.body : new TextEncoder().encode(String(init?.body ?? ""));
    const url = input instanceof Request ? input.url : String(input);
    const sent = new Headers(init?.headers);
    const seen: Seen = { url, request, sent, answeredAt: 0, status: 0, headers: undefined, pieces: [], kept: 0 };
    this.#seen = seen;
    const response = await fetch(input, init);
    seen.answeredAt = performance.now() - start;
    seen.status = response.status;
    seen.headers = response.headers;
    const copied = new TransformStream<Uint8Array, Uint8Array>({
      transform(data, controller) {
        if (seen.kept < KEPT_BYTES) seen.pieces.push({ at: performance.now() - start, data });
        seen.kept += data.length;
        controller.enqueue(data);
      },
    });
    return new Response(response.body?.pipeThrough(copied) ?? null, response);
  };

  /** The lines of the recording, for messages of these types. */
  lines(takes: DescMessage, gives: DescMessage): string[] {
    const seen = this.#seen;
    if (!seen) return [];
    const lines = [`${time(0)} → POST ${new URL(seen.url, location.href).pathname}`, ...headers(seen.sent)];
    lines.push(...body(time(0), "→", seen.request, seen.sent, takes));
    if (!seen.headers) return lines;
    lines.push(`${time(seen.answeredAt)} ← ${protocol(seen.url)} ${seen.status}`, ...headers(seen.headers));
    const last = seen.pieces.at(-1);
    if (last) lines.push(...body(time(last.at), "←", joined(seen.pieces), seen.headers, gives));
    return lines;
  }
}

function time(ms: number): string {
  return `${ms.toFixed(1).padStart(7)} ms`;
}

const PAD = " ".repeat(13);

function headers(given: Headers): string[] {
  return [...given].map(([name, value]) => `${PAD}${name}: ${value}`);
}

/** The version of HTTP, which the browser says once the call has ended. */
function protocol(url: string): string {
  const [entry] = performance.getEntriesByName(new URL(url, location.href).href, "resource").slice(-1);
  return (entry as PerformanceResourceTiming | undefined)?.nextHopProtocol || "HTTP";
}

function joined(pieces: Piece[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  for (const { data } of pieces) {
    all.set(data, at);
    at += data.length;
  }
  return all;
}

function body(when: string, arrow: string, data: Uint8Array, given: Headers, type: DescMessage): string[] {
  const lines = [`${when} ${arrow} ${data.length} bytes`];
  const kind = given.get("content-type") ?? "";
  if (kind.startsWith("application/json")) lines.push(...pad([cut(new TextDecoder().decode(data))]));
  else if (kind.startsWith("application/grpc-web")) lines.push(...pad(messages(data, type)));
  return lines;
}

function pad(lines: string[]): string[] {
  return lines.map((line) => PAD + line);
}

/** The messages of gRPC-Web with their prefixes, and the trailers at the end. */
function messages(data: Uint8Array, type: DescMessage): string[] {
  const lines: string[] = [];
  for (let at = 0; at + PREFIX_BYTES <= data.length; ) {
    const length = new DataView(data.buffer, data.byteOffset + at + 1).getUint32(0);
    const flags = data[at] ?? 0;
    const content = data.subarray(at + PREFIX_BYTES, at + PREFIX_BYTES + length);
    const what = flags & TRAILERS ? "trailers" : flags & COMPRESSED ? `${type.typeName}, compressed` : type.typeName;
    lines.push(`${hex(data.subarray(at, at + PREFIX_BYTES))}  ${what}, ${length} bytes`);
    if (flags & TRAILERS) lines.push(...new TextDecoder().decode(content).trim().split("\r\n"));
    else if (!(flags & COMPRESSED) && content.length === length) lines.push(...readable(content, type));
    at += PREFIX_BYTES + length;
  }
  return lines;
}

/** The fields of a message; nothing if they cannot be read, which the call itself reports. */
function readable(data: Uint8Array, type: DescMessage): string[] {
  try {
    return fields(data, type);
  } catch {
    return [];
  }
}

/** The fields of a message as `number name: value  (bytes)`. */
function fields(data: Uint8Array, type: DescMessage): string[] {
  const lines: string[] = [];
  const reader = new BinaryReader(data);
  const known = new Map(type.fields.map((field) => [field.number, field]));
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wire] = reader.tag();
    const field = known.get(number);
    const name = `${number} ${field?.name ?? "?"}:`;
    if (wire === WireType.LengthDelimited) {
      const content = reader.bytes();
      const raw = data.subarray(start, reader.pos);
      if (field?.message) {
        lines.push(`${name} ${field.message.typeName}  (${hex(raw.subarray(0, raw.length - content.length))} …)`);
        lines.push(...fields(content, field.message).map((line) => `  ${line}`));
      } else {
        lines.push(`${name} ${text(content, field)}  (${bytes(raw)})`);
      }
    } else {
      const value = short(reader, wire, number, field);
      lines.push(`${name} ${value}  (${bytes(data.subarray(start, reader.pos))})`);
    }
  }
  return lines;
}

function text(content: Uint8Array, field: DescField | undefined): string {
  return field?.scalar === ScalarType.STRING ? `"${cut(new TextDecoder().decode(content))}"` : `${content.length} bytes`;
}

/** The value of a field that has no length. */
function short(reader: BinaryReader, wire: WireType, number: number, field: DescField | undefined): string {
  if (wire === WireType.Varint) {
    if (field?.enum) {
      const value = reader.int32();
      return `${value} ${field.enum.value[value]?.name ?? ""}`;
    }
    if (field?.scalar === ScalarType.BOOL) return String(reader.bool());
    if (field?.scalar === ScalarType.INT32) return String(reader.int32());
    return String(reader.int64());
  }
  if (field?.scalar === ScalarType.DOUBLE) return String(reader.double());
  if (field?.scalar === ScalarType.FLOAT) return String(reader.float());
  return hex(reader.skip(wire, number));
}

function bytes(raw: Uint8Array): string {
  return raw.length <= SHOWN_BYTES + 4 ? hex(raw) : `${hex(raw.subarray(0, SHOWN_BYTES))} … ${raw.length} bytes`;
}

function hex(data: Uint8Array): string {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

function cut(value: string): string {
  return value.length > SHOWN_TEXT ? `${value.slice(0, SHOWN_TEXT)}…` : value;
}
