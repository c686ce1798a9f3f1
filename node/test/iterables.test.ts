// What callers give to be iterated, and what they iterate: how it ends, whatever ends it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { describe, it } from "node:test";

import { Client } from "conexiones";
import type { UploadItem, UploadSource } from "conexiones";

import { address, all, bmp, bmpHeader, client, hex, MiB, photograph, sha256 } from "./support.js";

const stop = new Error("stop");
const conexiones = client();

/** A web stream that is silent after these bytes, and how to learn that it was cancelled. */
function silentWeb(first?: Uint8Array): { stream: ReadableStream<Uint8Array>; asked: Promise<void>; cancelled: Promise<void> } {
  let [ask, cancel] = [() => {}, () => {}];
  const asked = new Promise<void>((resolve) => (ask = resolve));
  const cancelled = new Promise<void>((resolve) => (cancel = resolve));
  let given = first === undefined;
  const pull = (controller: { enqueue(bytes: Uint8Array): void }): Promise<void> | void => {
    if (!given) {
      given = true;
      controller.enqueue(first as Uint8Array);
      return;
    }
    ask();
    return new Promise(() => {});
  };
  const stream = new ReadableStream<Uint8Array>({ pull, cancel: () => cancel() }, { highWaterMark: 0 });
  return { stream, asked, cancelled };
}

describe("a stream that is silent", { timeout: 60_000 }, () => {
  it("is cancelled when its upload is aborted", async () => {
    const { stream, asked, cancelled } = silentWeb(bmpHeader(64, 64));
    const aborting = new AbortController();
    const uploading = conexiones.upload(stream, { signal: aborting.signal });
    await asked;
    aborting.abort(stop);
    await assert.rejects(uploading, stop);
    await cancelled;
    assert.equal(stream.locked, false);
  });

  for (const call of ["uploadMany", "imageStream", "userStream"] as const) {
    it(`ends when it gives the items of ${call}, and that is aborted`, async () => {
      const { stream, asked, cancelled } = silentWeb();
      let read = () => {};
      const reading = new Promise<void>((resolve) => (read = resolve));
      const readable = new Readable({ objectMode: true, read });
      for (const [items, begun] of [
        [stream, asked],
        [readable, reading],
      ] as const) {
        const aborting = new AbortController();
        const next = conexiones[call](items as AsyncIterable<never>, { signal: aborting.signal }).next();
        await begun;
        aborting.abort(stop);
        await assert.rejects(next, stop);
      }
      await cancelled;
      assert.ok(readable.destroyed);
    });

    it(`ends when ${call} is refused, or was aborted before`, async () => {
      for (const options of [{ signal: AbortSignal.abort(stop) }, { signal: 5 as never }]) {
        const items = new Readable({ objectMode: true, read() {} });
        await assert.rejects(conexiones[call](items as AsyncIterable<never>, options).next());
        assert.ok(items.destroyed);
      }
    });
  }
});

describe("whoever leaves", { timeout: 60_000 }, () => {
  it("a watch that waits is done at once, as a Readable over it does", async () => {
    const leaving = new Client(address);
    let listens = () => {};
    const ready = new Promise<void>((resolve) => (listens = resolve));
    const events = leaving.watch({ user: "nobody-at-all", onHeartbeat: () => listens() });
    const next = events.next();
    await ready;
    assert.equal((await events.return()).done, true);
    assert.equal((await next).done, true);

    const others = leaving.watch({ user: "nobody-at-all", onHeartbeat: () => readable.destroy() });
    const readable = Readable.from(others);
    readable.resume();
    await once(readable, "close");
    assert.equal((await others.next()).done, true);
    leaving.close();
  });

  for (const call of ["uploadMany", "imageStream", "userStream"] as const) {
    it(`${call} while the next item is awaited is done at once`, async () => {
      const { stream, asked, cancelled } = silentWeb();
      const results = conexiones[call](stream as AsyncIterable<never>);
      const next = results.next();
      await asked;
      await results.return();
      assert.equal((await next).done, true);
      await cancelled;
    });
  }
});

describe("whoever aborts", { timeout: 60_000 }, () => {
  it("hears of nothing more, though it has come", async () => {
    const user = `abort-${process.pid}`;
    const images = () => Array.from({ length: 5 }, () => bmp(4_000));
    const [aborting, watching] = [new AbortController(), new AbortController()];
    let listens = () => {};
    const ready = new Promise<void>((resolve) => (listens = resolve));
    const events = conexiones.watch({ user, signal: watching.signal, onHeartbeat: () => listens() });
    const first = events.next();
    await ready;
    assert.ok((await all(conexiones.uploadMany(images(), { user }))).every(({ image }) => image));
    await first;
    watching.abort(stop);
    await assert.rejects(events.next(), stop);

    const { signal } = aborting;
    const iterations = [
      conexiones.images({ user, signal }),
      conexiones.uploadMany(images(), { user, signal }),
      conexiones.imageStream(images(), { signal }),
      conexiones.userStream(Array.from({ length: 5 }, () => ({ name: user })), { signal }),
    ];
    for (const each of iterations) assert.equal((await each.next()).done, false);
    aborting.abort(stop);
    for (const each of iterations) await assert.rejects(each.next(), stop);
  });

  it("may have one signal for many calls", async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => warnings.push(warning);
    process.on("warning", warned);
    const { signal } = new AbortController();
    const calls = Array.from({ length: 12 }, () => [
      conexiones.upload(photograph, { signal }),
      conexiones.limits({ signal }),
      all(conexiones.imageStream([photograph], { signal })),
    ]);
    await Promise.all(calls.flat());
    await new Promise(setImmediate); // warnings come with the next tick
    process.off("warning", warned);
    assert.deepEqual(warnings, []);
  });
});

describe("a generator", { timeout: 60_000 }, () => {
  async function* oneBuffer(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
    const buffer = Buffer.alloc(size);
    for (let at = 0; at < bytes.length; at += size) {
      const piece = bytes.subarray(at, at + size);
      buffer.set(piece);
      yield buffer.subarray(0, piece.length);
    }
  }

  it("may give the same memory with other bytes again and again", async () => {
    const bytes = bmp(3 * MiB);
    for (const size of [MiB, 64 << 10]) {
      const image = await conexiones.upload(oneBuffer(bytes, size));
      assert.equal(hex(image.sha256), sha256(bytes));
      const reply = await conexiones.streamImage(oneBuffer(bytes, size), { chunkSize: size });
      assert.equal(hex(reply.image?.sha256 ?? new Uint8Array()), sha256(bytes));
    }
  });
});

describe("an item of uploadMany", { timeout: 60_000 }, () => {
  class Scan {
    source = photograph;
    get name(): string {
      return "scan.jpg";
    }
  }

  it("that is none is an error of its own, and the others go on", async () => {
    const throwing = {
      get source(): UploadSource {
        throw stop;
      },
    };
    const items = [photograph, null, undefined, 5, throwing, photograph] as UploadSource[];
    const results = await all(conexiones.uploadMany(items));
    results.sort((one, other) => one.index - other.index);
    assert.deepEqual(
      results.map(({ image, error }) => (image ? "stored" : error.constructor)),
      ["stored", TypeError, TypeError, TypeError, Error, "stored"],
    );
  });

  it("may be of any class", async () => {
    const bare = Object.assign(Object.create(null) as UploadItem, { source: photograph, name: "bare.jpg" });
    const results = await all(conexiones.uploadMany<UploadItem>([new Scan(), bare]));
    assert.deepEqual(results.map(({ image }) => image?.name).sort(), ["bare.jpg", "scan.jpg"]);
  });
});

describe("a client that is closed while it uploads many", { timeout: 60_000 }, () => {
  it("says so once, and does not go on", async () => {
    for (const image of [bmp(4_000), bmp(2 * MiB)]) {
      const closing = new Client(address);
      await closing.upload(photograph);
      let taken = 0;
      const items = function* () {
        closing.close();
        for (; ; taken++) yield image;
      };
      await assert.rejects(all(closing.uploadMany(items())), { message: "The client is closed." });
      assert.ok(taken < 1_000);
    }
  });
});
