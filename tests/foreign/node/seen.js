// What all programs here share: what they are given, and how they say what they saw.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const certs = process.env.FOREIGN_CERTS;

export const photo = readFileSync(process.env.FOREIGN_PHOTO);
export const large = readFileSync(process.env.FOREIGN_LARGE);
export const kind = process.env.FOREIGN_KIND ?? "";
export const address = process.env.FOREIGN_ADDRESS;
export const proxy = process.env.FOREIGN_PROXY;
export const secure = certs
  ? {
      ca: readFileSync(`${certs}/ca.pem`),
      cert: readFileSync(`${certs}/client.pem`),
      key: readFileSync(`${certs}/client.key`),
    }
  : undefined;

/** Prints what one case saw, or the error with which it failed. */
export async function run(name, see) {
  let found;
  try {
    found = await see();
  } catch (error) {
    found = `failed: ${error}`.replaceAll("\n", " ");
  }
  console.log(`${name}\t${found}`);
}

/** The URL of a server. */
export const url = (at) => `${secure ? "https" : "http"}://${at}`;

/** An image as all programs describe it. */
export const described = ({ format, width, height, sizeBytes }) => `${format} ${width}x${height} ${sizeBytes}`;

/** A user of the reply of a stream, as all programs describe it. */
export const answered = ({ pow, errors, image }) =>
  [pow, ...errors.map(({ reason }) => reason), ...(image[0] === 0xff && image[1] === 0xd8 ? ["preview"] : [])].join(" ");

/** The bytes in parts of at most so many. */
export function* parts(bytes, size, from = 0) {
  for (let at = from; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest();

/** The SHA-256 of the data of all frames of a download. */
export async function digest(frames) {
  const hash = createHash("sha256");
  for await (const { data } of frames) hash.update(data);
  return hash.digest("hex");
}

/** Tries again, at most four times. Returns how often it had to. */
export async function again(write) {
  for (let resumed = 0; ; resumed++) {
    try {
      await write();
      return resumed;
    } catch (error) {
      if (resumed === 4) throw error;
    }
  }
}

/** An iterable of what is pushed, for the requests of a stream. */
export class Requests {
  #waiting = [];
  #wake = () => {};
  #closed = false;

  push(request) {
    this.#waiting.push(request);
    this.#wake();
  }

  close() {
    this.#closed = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      while (this.#waiting.length > 0) yield this.#waiting.shift();
      if (this.#closed) return;
      await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}
