// The rest of a large image by HTTP: GET /images/{id} with a range, over a connection of its own. It takes both sides far
// less processor time than DownloadImage: no messages are made, and bytes go from the socket right into memory that is
// used again. Nothing depends on it: where it cannot be had, DownloadImage goes on, and says why if that fails, too.
import { connect, isIP } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";

import { hostAndPort } from "./address.js";
import { Bell } from "./bell.js";
import { Code, makeError } from "./errors.js";
import type { Shown } from "./shown.js";

/** What is left of an image and smaller is not worth another connection. */
export const LEAST_BYTES = 16 << 20;
/** How long to wait for the first bytes of the answer. Meanwhile DownloadImage does not go on. */
const OPEN_MS = 5_000;
/** Bytes that have come and that nobody has taken, after which no more are received. */
const WAITING_BYTES = 1 << 20;
/** Bytes of one memory, and the fewest of it that are worth receiving into. */
const MEMORY_BYTES = 256 << 10;
const LEAST_ROOM_BYTES = 64 << 10;
const MOST_HEAD_BYTES = 16 << 10;
/** Variables by which gRPC finds a proxy. It may be the only way to the server. */
const PROXIES = ["grpc_proxy", "https_proxy", "http_proxy"];
const PASSING = new Set(["ETIMEDOUT", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EAI_AGAIN"]);

/** Certificates in PEM. */
export interface Identity {
  ca: Buffer | null;
  cert: Buffer | null;
  key: Buffer | null;
}

/** Which bytes: those from `start` up to `end` of what has that `etag`. */
export interface Span {
  id: string;
  etag: string;
  start: number;
  end: number;
}

export class ByHttp {
  readonly #address: () => string;
  readonly #identity: Identity | undefined;
  readonly #shown: Shown;

  /** `address` gives that of the server in use, `identity` is for TLS. With `direct`, gRPC uses no proxy. */
  constructor(address: () => string, identity: Identity | undefined, shown: Shown, { direct }: { direct: boolean }) {
    const { env } = process;
    // The connection has to be like that of gRPC: the same way to the server, and the same certificate authorities.
    const proxied = !direct && PROXIES.some((name) => env[name]);
    const others = identity && !identity.ca && env["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"];
    this.#address = address;
    this.#identity = identity;
    this.#shown = shown;
    this.usable = !proxied && !others && hostAndPort(address()) !== undefined;
  }

  /** Whether it is worth trying. */
  usable: boolean;

  /**
   * The bytes, which are about to come; undefined if they cannot be had this way. If another answer came, this is not tried
   * again.
   */
  async open(span: Span, signal: AbortSignal): Promise<Body | undefined> {
    signal.throwIfAborted();
    const body = this.#connect(span.end - span.start);
    const stop = () => body.close();
    signal.addEventListener("abort", stop, { once: true });
    const late = setTimeout(() => body.fail(Object.assign(new Error("There was no answer."), { code: "ETIMEDOUT" })), OPEN_MS);
    try {
      if (isAnswer(await body.ask(this.#request(span)), span)) return body;
      this.usable = false;
    } catch (error) {
      // What is wrong with the network may pass.
      if (!signal.aborted && !PASSING.has((error as NodeJS.ErrnoException).code ?? "")) this.usable = false;
    } finally {
      clearTimeout(late);
      signal.removeEventListener("abort", stop);
    }
    body.close();
    signal.throwIfAborted();
    return undefined;
  }

  #connect(size: number): Body {
    const { host = "", port = 0 } = hostAndPort(this.#address()) ?? {};
    const body = new Body(size);
    if (this.#identity) {
      const { ca, cert, key } = this.#identity;
      const given = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }), ...(isIP(host) === 0 && { servername: host }) };
      const socket = connectTls({ host, port, ALPNProtocols: ["http/1.1"], ...given });
      // What was decrypted is in memory of its own.
      body.over(socket.on("data", (data: Buffer) => body.take({ bytes: data }) || socket.pause()));
    } else {
      const memory = new Memory();
      const callback = (size: number) => body.take(memory.filled(size));
      body.over(connect({ host, port, onread: { buffer: () => memory.room(), callback } }));
    }
    return body;
  }

  #request({ id, etag, start, end }: Span): string {
    const headers = {
      ...{ host: this.#address().replace(/^dns:(?:\/\/\/)?/, ""), ...this.#shown.headers() },
      ...{ range: `bytes=${start}-${end - 1}`, "if-range": etag, "accept-encoding": "identity", connection: "close" },
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return `GET /images/${encodeURIComponent(id)} HTTP/1.1\r\n${lines.join("")}\r\n`;
  }
}

interface Head {
  status: string;
  headers: Map<string, string>;
}

function isAnswer({ status, headers }: Head, { etag, start, end }: Span): boolean {
  const range = headers.get("content-range")?.startsWith(`bytes ${start}-${end - 1}/`) ?? false;
  const coded = headers.has("content-encoding") || headers.has("transfer-encoding");
  return status === "206" && headers.get("etag") === etag && range && !coded;
}

/** Some bytes, whose memory is used again when it is told so. */
interface Piece {
  bytes: Uint8Array;
  free?: () => void;
}

/** Memory into which bytes are received one after the other. */
class Memory {
  readonly #idle: Uint8Array[] = [];
  #current = Buffer.allocUnsafeSlow(MEMORY_BYTES) as Uint8Array;
  #filled = 0;
  /** Pieces of each memory that somebody has. */
  readonly #held = new Map<Uint8Array, number>();

  room(): Uint8Array {
    return this.#current.subarray(this.#filled);
  }

  filled(size: number): Piece {
    const memory = this.#current;
    const bytes = memory.subarray(this.#filled, (this.#filled += size));
    this.#held.set(memory, (this.#held.get(memory) ?? 0) + 1);
    if (memory.length - this.#filled < LEAST_ROOM_BYTES) {
      this.#current = this.#idle.pop() ?? Buffer.allocUnsafeSlow(MEMORY_BYTES);
      this.#filled = 0;
    }
    return { bytes, free: () => this.#free(memory) };
  }

  #free(memory: Uint8Array): void {
    const held = (this.#held.get(memory) ?? 0) - 1;
    this.#held.set(memory, held);
    if (held === 0 && memory !== this.#current) this.#idle.push(memory);
  }
}

/** One answer. */
export class Body {
  /** How many bytes were not taken yet. */
  #left: number;
  #socket: Socket | undefined;
  readonly #bell = new Bell();
  #head = "";
  #begun = false;
  readonly #pieces: Piece[] = [];
  #waiting = 0;
  #error: Error | undefined;

  constructor(size: number) {
    this.#left = size;
  }

  over(socket: Socket): void {
    this.#socket = socket;
    socket.on("error", (error) => this.fail(error));
    socket.on("close", () => this.fail(new Error("The connection was closed early.")));
  }

  /** The first error counts. It is thrown after all that has come. */
  fail(error: Error): void {
    this.#error ??= error;
    this.#socket?.destroy();
    this.#bell.ring();
  }

  close(): void {
    this.fail(new Error("Nobody wants more."));
  }

  /** Some bytes have come. Returns whether more may come now. */
  take(piece: Piece): boolean {
    const rest = this.#begun ? piece : this.#begin(piece);
    if (rest) {
      this.#pieces.push(rest);
      this.#waiting += rest.bytes.length;
    }
    this.#bell.ring();
    return this.#waiting < WAITING_BYTES;
  }

  /** What follows the head of the answer, if it is complete. */
  #begin(piece: Piece): Piece | undefined {
    const { bytes } = piece;
    const before = this.#head.length;
    this.#head += Buffer.from(bytes.subarray(0, MOST_HEAD_BYTES)).toString("latin1");
    const end = this.#head.indexOf("\r\n\r\n");
    if (end >= 0) {
      this.#begun = true;
      const start = end + 4 - before;
      this.#head = this.#head.slice(0, end);
      if (start < bytes.length) return { ...piece, bytes: bytes.subarray(start) };
    } else if (this.#head.length >= MOST_HEAD_BYTES) this.fail(new Error("That is no answer of HTTP."));
    piece.free?.();
    return undefined;
  }

  /** Sends a request, and resolves with the head of the answer. Throws the error of the connection. */
  async ask(request: string): Promise<Head> {
    this.#socket?.write(request);
    await this.#bell.until(() => this.#begun || this.#error !== undefined);
    if (!this.#begun) throw this.#error ?? new Error("There is no answer.");
    const [first = "", ...lines] = this.#head.split("\r\n");
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    return { status: first.split(" ")[1] ?? "", headers };
  }

  /** All bytes; those of a piece are there until the next is asked for. Throws UnavailableError if the connection breaks. */
  async *pieces(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      while (this.#left > 0) {
        await this.#bell.until(() => this.#pieces.length > 0 || this.#error !== undefined);
        const piece = this.#pieces.shift();
        if (!piece) throw lost(this.#error);
        const { bytes, free } = piece;
        this.#left -= bytes.length;
        if (this.#left < 0) throw lost(new Error("More came than was asked for."));
        yield bytes;
        free?.();
        const full = this.#waiting >= WAITING_BYTES;
        this.#waiting -= bytes.length;
        if (full && this.#waiting < WAITING_BYTES) this.#socket?.resume();
      }
    } finally {
      this.close();
    }
  }
}

function lost(cause: unknown): Error {
  return makeError({ code: Code.UNAVAILABLE, message: "The connection was lost.", cause });
}
