import assert from "node:assert/strict";
import { join } from "node:path";
import { Writable } from "node:stream";
import { before, describe, it } from "node:test";

import type { Client, Image } from "conexiones";

import { bmp, client, folder, MiB, photograph, silentNetwork } from "./support.js";

const conexiones = client();
const place = await folder();
let image: Image;
before(async () => {
  image = await conexiones.upload(bmp(2 * MiB));
});

async function first<T>(items: AsyncGenerator<T, void>): Promise<T | undefined> {
  const { value } = await items.next();
  return value ?? undefined;
}

/** Every call, as a function of its signal. */
const calls: Record<string, (client: Client, signal: AbortSignal) => Promise<unknown>> = {
  upload: (client, signal) => client.upload(photograph, { signal }),
  "upload of a stream": (client, signal) => client.upload(endless(), { signal }),
  "download into memory": (client, signal) => client.download(image.id, undefined, { signal }),
  "download into a file": (client, signal) => client.download(image.id, join(place, "image"), { signal }),
  "download into a stream": (client, signal) => client.download(image.id, nowhere(), { signal }),
  image: (client, signal) => client.image(image.id, { signal }),
  images: (client, signal) => first(client.images({ signal })),
  delete: (client, signal) => client.delete(image.id, { signal }),
  watch: (client, signal) => first(client.watch({ signal })),
  limits: (client, signal) => client.limits({ signal }),
  getUpload: (client, signal) => client.getUpload("some", { signal }),
  cancelUpload: (client, signal) => client.cancelUpload("some", { signal }),
  getUser: (client, signal) => client.getUser({ name: "Ada" }, { signal }),
  "getUser with an image": (client, signal) => client.getUser({ name: "Ada", image: photograph }, { signal }),
  processImage: (client, signal) => client.processImage(photograph, { signal }),
  streamImage: (client, signal) => client.streamImage(endless(), { signal }),
  imageStream: (client, signal) => first(client.imageStream([photograph], { signal })),
  userStream: (client, signal) => first(client.userStream([{ name: "Ada" }], { signal })),
};

async function* endless(): AsyncGenerator<Uint8Array> {
  yield photograph.subarray(0, 1000);
  await new Promise(() => undefined);
}

function nowhere(): Writable {
  const target = new Writable({ write: (_chunk, _encoding, done) => done() });
  return target.on("error", () => undefined);
}

describe("a signal", () => {
  for (const [name, call] of Object.entries(calls)) {
    it(`that is aborted before: ${name}`, async () => {
      const reason = new Error("no");
      await assert.rejects(call(conexiones, AbortSignal.abort(reason)), (error) => error === reason);
    });

    it(`that is aborted while nothing comes: ${name}`, { timeout: 60_000 }, async () => {
      const network = await silentNetwork();
      const slow = client({ address: network.address, timeoutMs: 600_000, patienceMs: 600_000 });
      await slow.limits();
      network.hush();
      const controller = new AbortController();
      const reason = new Error("enough");
      const ended = assert.rejects(call(slow, controller.signal), (error) => error === reason);
      setTimeout(() => controller.abort(reason), 20);
      await ended;
    });
  }
});
